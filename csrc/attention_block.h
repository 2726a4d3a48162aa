// The attention half of a block, for several numbers of its heads.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// out[a, b, t] = x[b, t] + proj_bias + proj_weight[:, :inner] mixed[b, t, :inner] with inner = alternatives[a] * dim,
// and mixed the attention of all heads over qkv[b, t, (p, h, d)] = qkv_weight norm(x[b, t]) + qkv_bias, p one of q, k
// and v. All of one dtype, with adjacent elements of a row. `out` is contiguous and overlaps none of the others.
struct AttentionBlock {
  const void* x;
  const void* qkv_weight;
  const void* qkv_bias;  // or null
  const void* proj_weight;
  const void* proj_bias;  // or null
  void* out;
  DType dtype;
  std::int64_t images, tokens, channels, heads, dim;
  std::int64_t x_stride, qkv_stride, proj_stride;  // elements, of rows (b, t) and of weights
  const std::int64_t* alternatives;                // increasing, from 1 to heads
  std::int64_t count;                              // of them
  double scale;                                    // of products of queries and keys
  double eps;
};

// To the bit what linear(), packed_attention() and linear() make one after the other, but what is between them never
// leaves the second-level cache where an image fits. An image is the work of one thread, and its result depends neither
// on the other images nor on `threads`. The CPU must run `set` (vector_set.h).
Status attention_block(const AttentionBlock& task, VectorSet set, int threads);

}  // namespace tvt
