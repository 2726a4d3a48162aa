// Kernels of the layers that see one token at a time, by instruction set. They hold no OpenMP region.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "layer_norm.h"
#include "target.h"

namespace tvt {

#if TVT_HAS_CLONES
void gelu_avx2(void* x, DType dtype, std::int64_t count);
void gelu_avx512(void* x, DType dtype, std::int64_t count);
void gelu_avx512_bf16(void* x, DType dtype, std::int64_t count);

// All rows of the task.
void layer_norm_avx2(const LayerNorm& task);
void layer_norm_avx512(const LayerNorm& task);
void layer_norm_avx512_bf16(const LayerNorm& task);
#endif

}  // namespace tvt
