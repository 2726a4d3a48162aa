// L2 norms of leading blocks of a matrix.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// norms[k] = || W[:o, :i] || with (o, i) = (sizes[2 k], sizes[2 k + 1]), for n blocks inside W.
//   weight     `row_stride` elements from row to row, columns adjacent
// Every element inside a block is read once; sums are fp64 in an order that does not depend on `threads`.
Status slice_norms(const void* weight, DType dtype, std::int64_t row_stride,
                   const std::int64_t* sizes, std::int64_t n, float* norms, int threads);

}  // namespace tvt
