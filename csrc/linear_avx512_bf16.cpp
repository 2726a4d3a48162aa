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

// Two bf16 values in a step, multiplied exactly and summed in fp32; subnormal ones count as zero.
struct BFloat16Pair {
  using Isa = Avx512Bf16;
  using Element = BFloat16;
  using Factor = BFloat16;
  using Vector = Isa::Vector;
  static constexpr std::int64_t kTerms = 2;

  static TVT_INLINE Vector load(const BFloat16* values, std::int64_t count) {
    const __mmask32 first = count >= 32 ? ~0u : (1u << count) - 1u;
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(first, values));
  }
  static TVT_INLINE Vector broadcast(const BFloat16* pair) {
    int bits;
    std::memcpy(&bits, pair, sizeof bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
  }
  static TVT_INLINE Vector multiply_add(Vector left, Vector right, Vector sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)left, (__m512bh)right);
  }
};

}  // namespace

LinearKernel linear_avx512_bf16(DType dtype) {
  return dtype == DType::bf16 ? linear_kernel<BFloat16Pair>() : linear_kernel_of<Avx512>(dtype);
}

}  // namespace tvt
#endif
