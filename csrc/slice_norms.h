// L2 norms of leading blocks of a matrix.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// Leading blocks of a matrix W: block k is W[:o, :i] with (o, i) = (sizes[2 k], sizes[2 k + 1]).
struct Slices {
  const std::int64_t* sizes;  // [count, 2]
  std::int64_t count;
  std::int64_t rows, columns;  // the largest o and i; inside W
};

// norms[k] = || block k ||.
//   weight     `row_stride` elements from row to row, columns adjacent
// Every element inside a block is read once; sums are fp64 in an order that does not depend on `threads`.
Status slice_norms(const void* weight, DType dtype, std::int64_t row_stride, const Slices& slices,
                   float* norms, int threads);

}  // namespace tvt
