// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <limits>

#include "attention_head.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4,avx512bf16")
#include "attention_tiles.h"
#include "vectors_avx512_bf16.h"

namespace tvt {
namespace {

struct AttentionPair : BFloat16Pair {
  // Probabilities are rounded to bf16 and written in pairs over the scores. Their sum is that of the rounded ones:
  // the weights of the values then add up to one.
  template <int N>
  static void exponentiate(float* scores, std::int64_t tokens, const Vector (&maximum)[N],
                           Vector (&sum)[N]) {
    const Vector ones = _mm512_castsi512_ps(_mm512_set1_epi32(0x3f803f80));
    const __m512i interleave = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
        19, 3, 18, 2, 17, 1, 16, 0);
    for (int n = 0; n < N; ++n) sum[n] = Isa::zero();
    for (std::int64_t t = 0; t < tokens; t += 2) {
#pragma GCC unroll 3
      for (int n = 0; n < N; ++n) {
        const float* at = scores + (t * N + n) * Isa::kLanes;
        const Vector low = vector_exp2<Isa>(Isa::subtract(Isa::load(at), maximum[n]));
        Vector high = Isa::zero();
        if (t + 1 < tokens) {
          high = vector_exp2<Isa>(Isa::subtract(Isa::load(at + N * Isa::kLanes), maximum[n]));
        }
        const __m512i halves = _mm512_castps_si512(round(low, high));
        const Vector pairs =
            _mm512_castsi512_ps(_mm512_permutexvar_epi16(interleave, halves));
        sum[n] = multiply_add(ones, pairs, sum[n]);
        Isa::store(scores + (t / 2 * N + n) * Isa::kLanes, pairs);
      }
    }
  }
};

}  // namespace

AttentionKernel attention_avx512_bf16() { return attention_kernel(Attention<AttentionPair>::run); }

}  // namespace tvt
#endif
