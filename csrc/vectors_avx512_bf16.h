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
  // Pairs along one or two rows.
  static TVT_INLINE Vector load_columns(const BFloat16* row, std::int64_t stride,
                                        std::int64_t rows, std::int64_t count) {
    const Vector high = rows == 2 ? Isa::load(row + stride, count) : Isa::zero();
    const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(Isa::load(row, count)), 16);
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_castps_si512(high)));
  }
  // 32 bf16 values in their order.
  static TVT_INLINE Vector round(Vector first, Vector second) {
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(second, first));
  }
  static TVT_INLINE Vector multiply_add(Vector left, Vector right, Vector sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)left, (__m512bh)right);
  }
};

}  // namespace
}  // namespace tvt
