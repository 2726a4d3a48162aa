// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <cmath>

#include "layer_norm_kernels.h"

#if TVT_HAS_CLONES
#pragma GCC target("arch=x86-64-v3")
#include "tokenwise_vectors.h"
#include "vectors_avx2.h"

namespace tvt {

void layer_norm_avx2(const LayerNorm& task) { layer_norm_any<Avx2>(task); }

}  // namespace tvt
#endif
