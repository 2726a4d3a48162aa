// Vectors of AVX-512 with its bf16 instructions, for files compiled for them.
#pragma once

#include "vectors_avx512.h"

namespace tvt {
namespace {

// Subnormal values are stored as zeros in bf16.
struct Avx512Bf16 : Avx512 {
  using Avx512::store;
  static TVT_INLINE void store(BFloat16* at, Vector value, std::int64_t count) {
    _mm256_mask_storeu_epi16(at, first(count), (__m256i)_mm512_cvtneps_pbh(value));
  }
};

// Two bf16 values in a step, multiplied exactly and summed in fp32; subnormal ones count as zero.
struct BFloat16Pair {
  using Isa = Avx512Bf16;
  using Element = BFloat16;
  using Vector = Isa::Vector;
  static constexpr std::int64_t kTerms = 2;

  static TVT_INLINE Vector load(const BFloat16* values, std::int64_t count) {
    const __mmask32 first = count >= 32 ? ~0u : (1u << count) - 1u;
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(first, values));
  }
  static TVT_INLINE Vector multiply_add(Vector left, Vector right, Vector sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)left, (__m512bh)right);
  }
};

}  // namespace
}  // namespace tvt
