// Layer normalisation by instruction set. The kernels hold no OpenMP region.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "layer_norm.h"
#include "target.h"

namespace tvt {

#if TVT_HAS_CLONES
// All rows of the task.
void layer_norm_avx2(const LayerNorm& task);
void layer_norm_avx512(const LayerNorm& task);
void layer_norm_avx512_bf16(const LayerNorm& task);
#endif

}  // namespace tvt
