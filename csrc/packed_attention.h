// Multi-head attention over the output of a fused qkv projection.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// qkv[b, t, (p, h, d)] and out[b, t, (h, d)] with adjacent elements of a row; p is one of q, k and v.
struct PackedAttention {
  const void* qkv;
  void* out;  // contiguous, of the dtype of qkv
  DType dtype;
  std::int64_t images, tokens, heads, dim;
  std::int64_t image_stride, row_stride;  // elements
  double scale;
};

// out = softmax(scale q k^T) v per image and head. What is computed for a query depends on nothing but its row,
// the keys and the values: the result does not depend on `threads`. The CPU must run `set` (vector_set.h).
Status packed_attention(const PackedAttention& task, VectorSet set, int threads);

}  // namespace tvt
