// A linear layer with what commonly stands around it.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// out[m, n] = residual[m, n] + act(bias[n] + sum_k norm(x)[m, k] weight[n, k]); all of one dtype, with adjacent
// elements of a row. `out` overlaps none of the others but `residual`, with which it may coincide.
struct Linear {
  const void* x;
  const void* weight;
  const void* bias;      // or null
  const void* residual;  // or null
  void* out;
  DType dtype;
  std::int64_t rows, inputs, outputs;                                  // at least 1
  std::int64_t x_stride, weight_stride, residual_stride, out_stride;   // elements
  bool norm;                                                           // rows of x, without weights
  double eps;
  bool gelu;
};

// Up to so many rows a packed panel of the weight is multiplied at once, while it lies in the cache.
constexpr std::int64_t kFewRows = 64;

// fp32 sums over k in an order that the instruction set fixes, rounded once; with bf16 instructions the normalised rows
// are rounded to bf16 first.
// A row of the result depends neither on the other rows nor on `threads`. The CPU must run `set` (vector_set.h).
Status linear(const Linear& task, VectorSet set, int threads);

}  // namespace tvt
