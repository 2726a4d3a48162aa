// One head of attention, as the kernels of every instruction set see it.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "target.h"
#include "vector_set.h"

namespace tvt {

inline std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }
inline std::int64_t round_up(std::int64_t value, std::int64_t to) {
  return divide_up(value, to) * to;
}

struct AttentionHead {
  const void* q;
  const void* k;
  const void* v;
  void* out;
  DType dtype;
  std::int64_t row_stride, out_stride;  // elements
  std::int64_t tokens, dim;             // at least 1
  double scale;
  std::int64_t part, parts;  // of the tiles, parts of about equal size; computes one of them
  float* scratch;            // as many as the kernel asks for, at a multiple of 64 bytes
};

struct AttentionKernel {
  std::int64_t tile;                                                   // queries that are computed together
  std::int64_t (*scratch_floats)(std::int64_t tokens, std::int64_t dim);  // in whole cache lines
  void (*run)(const AttentionHead&);
};

// The one for an instruction set, which the CPU must run (vector_set.h).
AttentionKernel attention_kernel_for(VectorSet set, DType dtype);

#if TVT_HAS_CLONES
AttentionKernel attention_avx2();
AttentionKernel attention_avx512();
AttentionKernel attention_avx512_bf16();  // dtype bf16 only
AttentionKernel attention_amx_bf16();     // dtype bf16 only
#endif

}  // namespace tvt
