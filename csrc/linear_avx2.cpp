// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "linear_kernels.h"

#if TVT_HAS_CLONES
#pragma GCC target("arch=x86-64-v3")
#include "linear_tiles.h"
#include "vectors_avx2.h"

namespace tvt {

LinearKernel linear_avx2(DType dtype) { return linear_kernel_of<Avx2>(dtype); }

}  // namespace tvt
#endif
