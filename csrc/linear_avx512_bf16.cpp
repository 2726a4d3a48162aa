// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "linear_kernels.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4,avx512bf16")
#include "linear_tiles.h"
#include "vectors_avx512_bf16.h"

namespace tvt {
namespace {

struct LinearPair : BFloat16Pair {
  using Factor = BFloat16;

  static TVT_INLINE Vector broadcast(const BFloat16* pair) {
    int bits;
    std::memcpy(&bits, pair, sizeof bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
  }
};

}  // namespace

LinearKernel linear_avx512_bf16() { return linear_kernel<InVectors<LinearPair>>(); }

}  // namespace tvt
#endif
