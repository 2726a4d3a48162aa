// The MLP half of a block, for several widths of its hidden layer.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// out[k, m] = x[m] + b2 + W2[:, :h] gelu(W1[:h] norm(x[m]) + b1[:h]) with h = hidden[k]; all of one dtype, with adjacent
// elements of a row. `out` is contiguous and overlaps none of the others.
struct MLPBlock {
  const void* x;
  const void* w1;
  const void* b1;  // or null
  const void* w2;
  const void* b2;  // or null
  void* out;
  DType dtype;
  std::int64_t rows, channels;                   // at least 1
  std::int64_t x_stride, w1_stride, w2_stride;   // elements
  const std::int64_t* hidden;                    // increasing, at least 1
  std::int64_t widths;
  double eps;
};

// To the bit what linear() makes of the two layers one after the other, but the hidden layer never leaves the
// second-level cache. A row of the result depends neither on the other rows nor on `threads`. The CPU must run `set`
// (vector_set.h).
Status mlp_block(const MLPBlock& task, VectorSet set, int threads);

}  // namespace tvt
