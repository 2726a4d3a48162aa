#include "slice_norms.h"

#include <cmath>
#include <new>
#include <vector>

#include "sum_squares.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // elements, or slices, per thread
constexpr std::int64_t kShort = 8;

// The distinct positive sizes along one axis, ascending, and the place of every size among them, from one; that of 0
// is 0.
struct Axis {
  Axis(const Slices& slices, int axis, std::int64_t largest) : place(largest + 1) {
    for (std::int64_t k = 0; k < slices.count; ++k) place[slices.sizes[2 * k + axis]] = 1;
    place[0] = 0;
    for (std::int64_t size = 1; size <= largest; ++size) {
      if (place[size] == 0) continue;
      ends.push_back(size);
      place[size] = static_cast<std::int64_t>(ends.size());
    }
  }

  std::vector<std::int64_t> place;
  std::vector<std::int64_t> ends;
};

// Between close column ends a call costs more than the sum.
template <typename T>
double sum_bucket(const T* x, std::int64_t n) {
  if (n > kShort) return sum_squares(x, n);
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = to_float(x[i]);
    sum += value * value;
  }
  return sum;
}

template <typename T>
void run(const T* weight, std::int64_t row_stride, const Slices& slices, float* norms,
         int threads) {
  const Axis rows(slices, 0, slices.rows);
  const Axis columns(slices, 1, slices.columns);
  const auto buckets = static_cast<std::int64_t>(columns.ends.size());

  // sums[r, b]: squares of row r left of column end b.
  std::vector<double> sums(slices.rows * buckets);
#pragma omp parallel for schedule(static) \
    num_threads(worth_threads(slices.rows * slices.columns, kGrain, threads))
  for (std::int64_t r = 0; r < slices.rows; ++r) {
    double sum = 0;
    std::int64_t begin = 0;
    for (std::int64_t b = 0; b < buckets; ++b) {
      sum += sum_bucket(weight + r * row_stride + begin, columns.ends[b] - begin);
      sums[r * buckets + b] = sum;
      begin = columns.ends[b];
    }
  }

  // table[place of o, place of i]: norms of all blocks of known sizes, zero for empty ones.
  const std::int64_t width = buckets + 1;
  std::vector<float> table((rows.ends.size() + 1) * width);
  std::vector<double> total(buckets);
  for (std::int64_t r = 0; r < slices.rows; ++r) {
    for (std::int64_t b = 0; b < buckets; ++b) total[b] += sums[r * buckets + b];
    if (rows.place[r + 1] == 0) continue;
    float* to = table.data() + rows.place[r + 1] * width + 1;
    for (std::int64_t b = 0; b < buckets; ++b) to[b] = static_cast<float>(std::sqrt(total[b]));
  }

#pragma omp parallel for schedule(static) num_threads(worth_threads(slices.count, kGrain, threads))
  for (std::int64_t k = 0; k < slices.count; ++k) {
    const std::int64_t row = rows.place[slices.sizes[2 * k]];
    norms[k] = table[row * width + columns.place[slices.sizes[2 * k + 1]]];
  }
}

}  // namespace

Status slice_norms(const void* weight, DType dtype, std::int64_t row_stride,
                   const Slices& slices, float* norms, int threads) try {
  switch (dtype) {
    case DType::f32:
      run(static_cast<const float*>(weight), row_stride, slices, norms, threads);
      return Status::ok;
    case DType::f16:
      run(static_cast<const Half*>(weight), row_stride, slices, norms, threads);
      return Status::ok;
    case DType::bf16:
      run(static_cast<const BFloat16*>(weight), row_stride, slices, norms, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
