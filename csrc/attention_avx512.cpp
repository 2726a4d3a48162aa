// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <limits>

#include "attention_head.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4")
#include "attention_tiles.h"
#include "vectors_avx512.h"

namespace tvt {

AttentionKernel attention_avx512() { return attention_kernel(attention_single<Avx512>); }

}  // namespace tvt
#endif
