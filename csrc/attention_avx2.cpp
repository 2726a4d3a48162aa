// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <limits>

#include "attention_head.h"

#if TVT_HAS_CLONES
#pragma GCC target("arch=x86-64-v3")
#include "attention_tiles.h"
#include "vectors_avx2.h"

namespace tvt {

AttentionKernel attention_avx2() { return attention_kernel(attention_single<Avx2>); }

}  // namespace tvt
#endif
