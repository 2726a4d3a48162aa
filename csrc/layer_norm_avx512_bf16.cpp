// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <cmath>

#include "layer_norm_kernels.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4,avx512bf16")
#include "tokenwise_vectors.h"
#include "vectors_avx512_bf16.h"

namespace tvt {

void layer_norm_avx512_bf16(const LayerNorm& task) { layer_norm_any<Avx512Bf16>(task); }

}  // namespace tvt
#endif
