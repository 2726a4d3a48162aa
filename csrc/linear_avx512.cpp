// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "linear_kernels.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4")
#include "linear_tiles.h"
#include "vectors_avx512.h"

namespace tvt {

LinearKernel linear_avx512(DType dtype) { return linear_kernel_of<Avx512>(dtype); }

}  // namespace tvt
#endif
