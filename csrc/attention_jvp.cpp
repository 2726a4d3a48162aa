#include "attention_jvp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "dual_loops.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 18;  // products per thread

// Up to this score e^s is 1 + s + s^2 / 2, and its derivative 1 + s, to 2^-22: sqrt(2 * 2^-22).
constexpr float kSeriesLimit = 6.9e-4f;

enum Operand { kQ, kK, kV, kDq, kDk, kDv, kOperands };

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Products of up to two channels of a row: 1, a_i, a_i a_j with j >= i.
std::int64_t monomials(std::int64_t width) { return (width + 1) * (width + 2) / 2; }

// Whether sums over monomials cost less than all pairs of tokens, counted in operations on kLanes numbers.
bool series_is_cheaper(std::int64_t tokens, std::int64_t width) {
  const std::int64_t series = 6 * monomials(width) * round_up(width + 1, kLanes);
  return series < tokens * (6 * width + kLanes);
}

// Memory of one worker. Rows and keys beyond the last are zero.
struct Scratch {
  explicit Scratch(const DualHeads& x)
      : rows(round_up(x.tokens, kRows)), keys(round_up(x.tokens, kLanes)) {
    for (auto& operand : operands) operand.resize(rows * x.width);
    for (const int operand : {kK, kV, kDk, kDv}) transposed[operand].resize(x.width * keys);
    for (auto* scores : {&scores_, &dscores_}) scores->resize(kRows * keys);
    if (series_is_cheaper(x.tokens, x.width)) {
      columns = round_up(x.width + 1, kLanes);
      for (auto* values : {&values_, &dvalues_}) values->resize(kRows * columns);
      for (auto* terms : {&terms_, &dterms_}) terms->resize(kRows * monomials(x.width));
      for (auto* sums : {&sums_, &dsums_}) sums->resize(monomials(x.width) * columns);
    }
    for (auto* mixed : {&mixed_, &dmixed_}) mixed->resize(kRows * std::max(x.width, columns));
  }

  std::int64_t rows, keys, columns = 0;
  std::vector<float> operands[kOperands];    // [rows, width]
  std::vector<float> transposed[kOperands];  // [width, keys], of keys and values
  std::vector<float> scores_, dscores_;      // [kRows, keys]
  std::vector<float> values_, dvalues_;      // [kRows, columns]
  std::vector<float> terms_, dterms_;        // [kRows, monomials]
  std::vector<float> sums_, dsums_;          // [monomials, columns]
  std::vector<float> mixed_, dmixed_;        // [kRows, width or columns]
};

template <typename T>
void load(const DualHeads& x, std::int64_t image, std::int64_t head, Scratch& own) {
  for (int operand = 0; operand < kOperands; ++operand) {
    const std::int64_t* stride = x.strides[operand];
    const T* from = static_cast<const T*>(x.operands[operand]) + image * stride[0] + head * stride[1];
    float* to = own.operands[operand].data();
    for (std::int64_t token = 0; token < x.tokens; ++token) {
      for (std::int64_t d = 0; d < x.width; ++d) {
        to[token * x.width + d] = to_float(from[token * stride[2] + d]);
      }
    }
  }
}

float longest_row(const std::vector<float>& matrix, std::int64_t width) {
  float longest = 0;
  for (std::size_t row = 0; row < matrix.size(); row += width) {
    float squares = 0;
    for (std::int64_t d = 0; d < width; ++d) squares += matrix[row + d] * matrix[row + d];
    // A NaN is the longest.
    if (!(squares <= longest)) longest = squares;
  }
  return std::sqrt(longest);
}

void scale(std::vector<float>& matrix, double factor) {
  for (float& value : matrix) value *= static_cast<float>(factor);
}

// Result of kRows rows from unnormalised sums with `stride` between rows: mixed / weight, and its tangent.
template <typename T>
void store(const DualHeads& x, std::int64_t image, std::int64_t head, std::int64_t begin,
           const DualSums* sums, const Scratch& own, std::int64_t stride) {
  const std::int64_t count = std::min(kRows, x.tokens - begin);
  for (std::int64_t r = 0; r < count; ++r) {
    const std::int64_t at = ((image * x.tokens + begin + r) * x.heads + head) * x.width;
    const float share = 1 / sums[r].weight;
    for (std::int64_t d = 0; d < x.width; ++d) {
      const float value = own.mixed_[r * stride + d] * share;
      const float tangent = own.dmixed_[r * stride + d] - sums[r].tangent * value;
      static_cast<T*>(x.out)[at + d] = from_float<T>(value);
      static_cast<T*>(x.tangent)[at + d] = from_float<T>(tangent * share);
    }
  }
}

// All pairs of a query and a key.
template <typename T>
void run_pairs(const DualHeads& x, std::int64_t image, std::int64_t head, Scratch& own) {
  for (const int operand : {kK, kV, kDk, kDv}) {
    for (std::int64_t token = 0; token < x.tokens; ++token) {
      for (std::int64_t d = 0; d < x.width; ++d) {
        own.transposed[operand][d * own.keys + token] = own.operands[operand][token * x.width + d];
      }
    }
  }
  scale(own.operands[kQ], x.scale);
  scale(own.operands[kDq], x.scale);
  for (std::int64_t begin = 0; begin < x.tokens; begin += kRows) {
    dual_scores(own.operands[kQ].data() + begin * x.width, own.operands[kDq].data() + begin * x.width,
                own.transposed[kK].data(), own.transposed[kDk].data(), x.width, own.keys,
                own.scores_.data(), own.dscores_.data());
    DualSums sums[kRows];
    for (std::int64_t r = 0; r < kRows; ++r) {
      float* row = own.scores_.data() + r * own.keys;
      std::fill(row + x.tokens, row + own.keys, -std::numeric_limits<float>::infinity());
      sums[r] = dual_weights(row, own.dscores_.data() + r * own.keys, own.keys);
    }
    dual_mix(own.scores_.data(), own.dscores_.data(), own.transposed[kV].data(),
             own.transposed[kDv].data(), x.width, own.keys, own.mixed_.data(), own.dmixed_.data());
    store<T>(x, image, head, begin, sums, own, x.width);
  }
}

// Monomials of a row and their tangents; `half` of a square, so that they sum to s^2 / 2.
void fill_monomials(const float* a, const float* da, std::int64_t width, float half, float* f,
                    float* df) {
  *f++ = 1;
  *df++ = 0;
  f = std::copy_n(a, width, f);
  df = std::copy_n(da, width, df);
  for (std::int64_t i = 0; i < width; ++i) {
    *f++ = half * a[i] * a[i];
    *df++ = 2 * half * a[i] * da[i];
    for (std::int64_t j = i + 1; j < width; ++j) {
      *f++ = a[i] * a[j];
      *df++ = da[i] * a[j] + a[i] * da[j];
    }
  }
}

// Scores so small that e^s is a polynomial of second order: what queries need to know of the keys are sums over keys of
// monomials times values. A column of ones behind the values counts the weights.
template <typename T>
void run_series(const DualHeads& x, std::int64_t image, std::int64_t head, Scratch& own) {
  const std::int64_t width = x.width, columns = own.columns, terms = monomials(width);
  const auto fill = [&](int row_operand, std::int64_t row, float half, std::int64_t r) {
    fill_monomials(own.operands[row_operand].data() + row * width,
                   own.operands[row_operand + kDq].data() + row * width, width, half,
                   own.terms_.data() + r * terms, own.dterms_.data() + r * terms);
  };
  std::fill(own.sums_.begin(), own.sums_.end(), 0.0f);
  std::fill(own.dsums_.begin(), own.dsums_.end(), 0.0f);
  for (std::int64_t begin = 0; begin < x.tokens; begin += kRows) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      const std::int64_t row = (begin + r) * width;
      fill(kK, begin + r, 1.0f, r);
      std::copy_n(own.operands[kV].data() + row, width, own.values_.data() + r * columns);
      std::copy_n(own.operands[kDv].data() + row, width, own.dvalues_.data() + r * columns);
      // A row beyond the last counts nowhere.
      own.values_[r * columns + width] = begin + r < x.tokens ? 1.0f : 0.0f;
    }
    add_moments(own.terms_.data(), own.dterms_.data(), terms, own.values_.data(),
                own.dvalues_.data(), columns, own.sums_.data(), own.dsums_.data());
  }
  scale(own.operands[kQ], x.scale);
  scale(own.operands[kDq], x.scale);
  for (std::int64_t begin = 0; begin < x.tokens; begin += kRows) {
    for (std::int64_t r = 0; r < kRows; ++r) fill(kQ, begin + r, 0.5f, r);
    apply_moments(own.terms_.data(), own.dterms_.data(), terms, own.sums_.data(),
                  own.dsums_.data(), columns, own.mixed_.data(), own.dmixed_.data());
    DualSums sums[kRows];
    for (std::int64_t r = 0; r < kRows; ++r) {
      sums[r] = {own.mixed_[r * columns + width], own.dmixed_[r * columns + width]};
    }
    store<T>(x, image, head, begin, sums, own, columns);
  }
}

template <typename T>
void run(const DualHeads& x, int threads) {
  const std::int64_t heads = x.images * x.heads;
  const std::int64_t products = heads * x.tokens * x.tokens * x.width;
  const auto workers =
      static_cast<int>(std::min<std::int64_t>(worth_threads(products, kGrain, threads), heads));
  std::vector<Scratch> scratch(workers, Scratch(x));
  const bool series = series_is_cheaper(x.tokens, x.width);
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    Scratch& own = scratch[worker];
    for (std::int64_t item = heads * worker / workers; item < heads * (worker + 1) / workers; ++item) {
      const std::int64_t image = item / x.heads, head = item % x.heads;
      load<T>(x, image, head, own);
      const float largest = static_cast<float>(std::fabs(x.scale)) *
                            longest_row(own.operands[kQ], x.width) *
                            longest_row(own.operands[kK], x.width);
      if (series && largest <= kSeriesLimit) {
        run_series<T>(x, image, head, own);
      } else {
        run_pairs<T>(x, image, head, own);
      }
    }
  }
}

}  // namespace

Status attention_jvp(const DualHeads& x, int threads) try {
  if (x.images * x.heads * x.tokens == 0) return Status::ok;
  switch (x.dtype) {
    case DType::f32:
      run<float>(x, threads);
      return Status::ok;
    case DType::f16:
      run<Half>(x, threads);
      return Status::ok;
    case DType::bf16:
      run<BFloat16>(x, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
