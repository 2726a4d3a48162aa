#include "slice_norms.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "sum_squares.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // elements per thread

// Distinct positive column counts, ascending.
std::vector<std::int64_t> breakpoints(const std::int64_t* sizes, std::int64_t n) {
  std::vector<std::int64_t> points;
  points.reserve(n);
  for (std::int64_t k = 0; k < n; ++k) {
    if (sizes[2 * k + 1] > 0) points.push_back(sizes[2 * k + 1]);
  }
  std::sort(points.begin(), points.end());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

std::int64_t position(const std::vector<std::int64_t>& points, std::int64_t value) {
  return std::lower_bound(points.begin(), points.end(), value) - points.begin();
}

template <typename T>
void run(const T* weight, std::int64_t row_stride, const std::int64_t* sizes, std::int64_t n,
         float* norms, int threads) {
  const std::vector<std::int64_t> column_ends = breakpoints(sizes, n);
  const auto buckets = static_cast<std::int64_t>(column_ends.size());
  const std::int64_t columns = column_ends.empty() ? 0 : column_ends.back();
  std::int64_t rows = 0;
  for (std::int64_t k = 0; k < n; ++k) rows = std::max(rows, sizes[2 * k]);

  // sums[r, b]: squares left of column_ends[b] in row r, and after the second loop in all rows up to r.
  std::vector<double> sums(rows * buckets);
#pragma omp parallel for schedule(static) \
    num_threads(worth_threads(rows * columns, kGrain, threads))
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    std::int64_t begin = 0;
    for (std::int64_t b = 0; b < buckets; ++b) {
      sum += sum_squares(weight + r * row_stride + begin, column_ends[b] - begin);
      sums[r * buckets + b] = sum;
      begin = column_ends[b];
    }
  }
  for (std::int64_t r = 1; r < rows; ++r) {
    for (std::int64_t b = 0; b < buckets; ++b) sums[r * buckets + b] += sums[(r - 1) * buckets + b];
  }
  for (std::int64_t k = 0; k < n; ++k) {
    const std::int64_t o = sizes[2 * k], i = sizes[2 * k + 1];
    const bool empty = o == 0 || i == 0;
    const double sum = empty ? 0 : sums[(o - 1) * buckets + position(column_ends, i)];
    norms[k] = static_cast<float>(std::sqrt(sum));
  }
}

}  // namespace

Status slice_norms(const void* weight, DType dtype, std::int64_t row_stride,
                   const std::int64_t* sizes, std::int64_t n, float* norms, int threads) try {
  switch (dtype) {
    case DType::f32:
      run(static_cast<const float*>(weight), row_stride, sizes, n, norms, threads);
      return Status::ok;
    case DType::f16:
      run(static_cast<const Half*>(weight), row_stride, sizes, n, norms, threads);
      return Status::ok;
    case DType::bf16:
      run(static_cast<const BFloat16*>(weight), row_stride, sizes, n, norms, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
