#include "self_attention_stats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

#include "score_loops.h"
#include "target.h"

namespace tvt {
namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr float kLn2 = 0.6931471805599453f;
constexpr std::int64_t kQueries = 4 * kGroup;  // whose scores are held at a time
constexpr std::int64_t kAhead = 8;             // tokens between reading and prefetching
constexpr std::int64_t kLine = 64;             // bytes of a cache line
constexpr std::int64_t kGrain = 1 << 20;       // products per thread

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Memory of one worker. Keys beyond the last are zero, as is the teacher there.
struct Scratch {
  explicit Scratch(const Heads& x)
      : padded(round_up(x.tokens, kPanel)),
        queries(kQueries * x.width),
        keys(padded * x.width),
        scores(kQueries * padded),
        teacher(padded),
        columns(padded) {}

  std::int64_t padded;
  std::vector<float> queries;  // [kQueries, width]
  std::vector<float> keys;     // [padded / kPanel, width, kPanel]
  std::vector<float> scores;   // [kQueries, padded]
  std::vector<float> teacher;
  std::vector<float> columns;
};

// Tokens of a fused projection are too far apart for the hardware to see them coming.
template <typename T>
void prefetch(const T* token, std::int64_t width) {
  for (std::int64_t d = 0; d < width; d += kLine / sizeof(T)) TVT_PREFETCH(token + d);
}

template <typename T>
void pack_keys(const Heads& x, const T* k, float* panels) {
  for (std::int64_t token = 0; token < x.tokens; ++token) {
    const T* from = k + token * x.k_stride[2];
    if (token + kAhead < x.tokens) prefetch(from + kAhead * x.k_stride[2], x.width);
    float* to = panels + token / kPanel * x.width * kPanel + token % kPanel;
    for (std::int64_t d = 0; d < x.width; ++d) to[d * kPanel] = to_float(from[d]);
  }
}

template <typename T>
void load_queries(const Heads& x, const T* q, std::int64_t begin, std::int64_t count,
                  float* queries) {
  const auto factor = static_cast<float>(x.scale * kLog2E);
  for (std::int64_t row = 0; row < count; ++row) {
    const T* from = q + (begin + row) * x.q_stride[2];
    if (begin + row + kAhead < x.tokens) prefetch(from + kAhead * x.q_stride[2], x.width);
    for (std::int64_t d = 0; d < x.width; ++d) queries[row * x.width + d] = to_float(from[d]) * factor;
  }
}

void multiply(const Heads& x, std::int64_t count, Scratch& own) {
  const std::int64_t groups = round_up(count, kGroup);
  for (std::int64_t begin = 0; begin < own.padded; begin += kPanel) {
    for (std::int64_t row = 0; row < groups; row += kGroup) {
      multiply_panel(own.queries.data() + row * x.width, own.keys.data() + begin * x.width, x.width,
                     own.scores.data() + row * own.padded + begin, own.padded);
    }
  }
}

void finish_row(const Heads& x, const AttentionOutputs& out, std::int64_t image, std::int64_t head,
                std::int64_t row, float* scores, Scratch& own) {
  std::fill(scores + x.tokens, scores + own.padded, -std::numeric_limits<float>::infinity());
  const RowSums sums = exponentiate(scores, own.teacher.data(), own.padded);
  const float share = 1 / sums.total;
  const std::int64_t first = (image * x.heads + head) * x.tokens;
  if (out.row_entropy != nullptr) {
    out.row_entropy[first + row] = (std::log2(sums.total) - sums.weighted * share) * kLn2;
  }
  if (out.teacher != nullptr) out.teacher_products[first + row] = sums.product * share;
  if (out.column_sums != nullptr) add_scaled(scores, share, own.padded, own.columns.data());
  if (out.head_mean != nullptr) {
    float* mean = out.head_mean + (image * x.tokens + row) * x.tokens;
    add_scaled(scores, share / static_cast<float>(x.heads), x.tokens, mean);
  }
  if (out.class_row != nullptr && row == 0) {
    for (std::int64_t j = 0; j < x.tokens; ++j) out.class_row[first + j] = scores[j] * share;
  }
}

template <typename T>
void run_head(const Heads& x, const AttentionOutputs& out, std::int64_t image, std::int64_t head,
              Scratch& own) {
  const T* q = static_cast<const T*>(x.q) + image * x.q_stride[0] + head * x.q_stride[1];
  const T* k = static_cast<const T*>(x.k) + image * x.k_stride[0] + head * x.k_stride[1];
  pack_keys(x, k, own.keys.data());
  std::fill(own.columns.begin(), own.columns.end(), 0.0f);
  const bool every_row = out.column_sums != nullptr || out.row_entropy != nullptr ||
                         out.head_mean != nullptr || out.teacher != nullptr;
  const std::int64_t rows = every_row ? x.tokens : 1;
  for (std::int64_t begin = 0; begin < rows; begin += kQueries) {
    const std::int64_t count = std::min(kQueries, rows - begin);
    load_queries(x, q, begin, count, own.queries.data());
    multiply(x, count, own);
    for (std::int64_t row = 0; row < count; ++row) {
      finish_row(x, out, image, head, begin + row, own.scores.data() + row * own.padded, own);
    }
  }
  if (out.column_sums != nullptr) {
    std::copy_n(own.columns.data(), x.tokens,
                out.column_sums + (image * x.heads + head) * x.tokens);
  }
}

// A unit of work is one head, or all heads of an image where their mean is asked for.
template <typename T>
void run(const Heads& x, const AttentionOutputs& out, int threads) {
  const std::int64_t heads = out.head_mean != nullptr ? x.heads : 1;
  const std::int64_t units = x.images * x.heads / heads;
  const std::int64_t products = x.images * x.heads * x.tokens * x.tokens * x.width;
  const auto workers = static_cast<int>(
      std::min<std::int64_t>(worth_threads(products, kGrain, threads), units));
  std::vector<Scratch> scratch(workers, Scratch(x));
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    Scratch& own = scratch[worker];
    for (std::int64_t unit = units * worker / workers; unit < units * (worker + 1) / workers;
         ++unit) {
      const std::int64_t image = unit * heads / x.heads;
      if (out.teacher != nullptr) {
        std::copy_n(out.teacher + image * x.tokens, x.tokens, own.teacher.data());
      }
      if (out.head_mean != nullptr) {
        std::fill_n(out.head_mean + image * x.tokens * x.tokens, x.tokens * x.tokens, 0.0f);
      }
      const std::int64_t first = unit * heads % x.heads;
      for (std::int64_t head = first; head < first + heads; ++head) {
        run_head<T>(x, out, image, head, own);
      }
    }
  }
}

}  // namespace

Status self_attention_stats(const Heads& x, const AttentionOutputs& out, int threads) try {
  if (x.images * x.heads * x.tokens == 0) return Status::ok;
  switch (x.dtype) {
    case DType::f32:
      run<float>(x, out, threads);
      return Status::ok;
    case DType::f16:
      run<Half>(x, out, threads);
      return Status::ok;
    case DType::bf16:
      run<BFloat16>(x, out, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
