// Layer normalisation without weights.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// x and out are [rows, columns] with adjacent elements of a row.
struct LayerNorm {
  const void* x;
  void* out;  // contiguous, of the dtype of x
  DType dtype;
  std::int64_t rows, columns;
  std::int64_t row_stride;  // elements
  double eps;
};

// out = (x - mean) / sqrt(variance + eps), mean and biased variance of each row; fp32 sums, the variance around the
// mean. The result does not depend on `threads`. The CPU must run `set` (vector_set.h).
Status layer_norm(const LayerNorm& task, VectorSet set, int threads);

}  // namespace tvt
