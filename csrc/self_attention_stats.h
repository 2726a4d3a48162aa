// Statistics of P = softmax(scale q k^T) of every head, without P.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// Queries and keys [images, heads, tokens, width] with strides in elements of images, heads and tokens; the width is
// adjacent.
struct Heads {
  const void* q;
  const void* k;
  DType dtype;
  std::int64_t images, heads, tokens, width;
  std::int64_t q_stride[3];
  std::int64_t k_stride[3];
  double scale;
};

// Each [images, heads, tokens] and null where it is not asked for, but head_mean [images, tokens, tokens].
struct AttentionOutputs {
  float* class_row;
  float* column_sums;
  float* row_entropy;
  float* head_mean;
  const float* teacher;  // [images, tokens], or null; with it come teacher_products
  float* teacher_products;
};

// Results do not depend on `threads`.
Status self_attention_stats(const Heads& x, const AttentionOutputs& out, int threads);

}  // namespace tvt
