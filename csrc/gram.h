// Inner products of all pairs of rows.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// out[k, i, j] = sum_m x[k, i, m] y[k % y_matrices, j, m], or of x with itself where y is null; adjacent elements of a
// row. With `relative`, which has no y, all rows are taken relative to the first one.
struct Gram {
  const void* x;
  const void* y;  // or null
  float* out;     // [matrices, rows, columns]
  DType dtype;
  std::int64_t matrices, rows, length;
  std::int64_t y_matrices, columns;                                 // those of x where y is null
  std::int64_t x_matrix_stride, x_stride, y_matrix_stride, y_stride;  // elements
  bool relative;
};

// fp32 sums in an order that the shapes fix: the result does not depend on `threads`. `set` must not come before
// vector_set().
Status gram(const Gram& task, VectorSet set, int threads);

}  // namespace tvt
