// Vectors of AVX-512 (x86-64-v4), for files compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "dtype.h"
#include "target.h"

namespace tvt {
namespace {

struct Avx512 {
  using Vector = __m512;
  static constexpr std::int64_t kLanes = 16;

  static TVT_INLINE Vector zero() { return _mm512_setzero_ps(); }
  static TVT_INLINE Vector set(float value) { return _mm512_set1_ps(value); }
  static TVT_INLINE Vector broadcast(const float* at) { return _mm512_set1_ps(*at); }
  static TVT_INLINE Vector load(const float* at) { return _mm512_load_ps(at); }
  static TVT_INLINE void store(float* at, Vector value) { _mm512_store_ps(at, value); }
  static TVT_INLINE Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static TVT_INLINE Vector subtract(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static TVT_INLINE Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static TVT_INLINE Vector divide(Vector a, Vector b) { return _mm512_div_ps(a, b); }
  static TVT_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  // A NaN in b is returned.
  static TVT_INLINE Vector maximum(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  static TVT_INLINE Vector minimum(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  static TVT_INLINE Vector magnitude(Vector a) { return _mm512_abs_ps(a); }
  static TVT_INLINE Vector round(Vector a) { return _mm512_roundscale_ps(a, 8); }
  // a 2^exponent
  static TVT_INLINE Vector scale(Vector a, Vector exponent) {
    return _mm512_scalef_ps(a, exponent);
  }

  static TVT_INLINE __mmask16 first(std::int64_t count) {
    return static_cast<__mmask16>(count >= kLanes ? 0xffffu : (1u << count) - 1u);
  }

  static TVT_INLINE float sum(Vector a) { return _mm512_reduce_add_ps(a); }
  static TVT_INLINE float largest(Vector a) { return _mm512_reduce_max_ps(a); }

  // The first `count` lanes, then zeros.
  static TVT_INLINE Vector keep(Vector a, std::int64_t count) {
    return _mm512_maskz_mov_ps(first(count), a);
  }

  // The first `count` values, then zeros.
  static TVT_INLINE Vector load(const float* at, std::int64_t count) {
    return _mm512_maskz_loadu_ps(first(count), at);
  }
  static TVT_INLINE Vector load(const Half* at, std::int64_t count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(count), at));
  }
  static TVT_INLINE Vector load(const BFloat16* at, std::int64_t count) {
    const __m256i bits = _mm256_maskz_loadu_epi16(first(count), at);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }

  // Stores the first `count` values.
  static TVT_INLINE void store(float* at, Vector value, std::int64_t count) {
    if (count >= kLanes) return _mm512_storeu_ps(at, value);
    _mm512_mask_storeu_ps(at, first(count), value);
  }
  static TVT_INLINE void store(Half* at, Vector value, std::int64_t count) {
    _mm256_mask_storeu_epi16(at, first(count), _mm512_cvtps_ph(value, 8));
  }
  static TVT_INLINE void store(BFloat16* at, Vector value, std::int64_t count) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i result = _mm512_mask_set1_epi32(rounded, is_nan, 0x7fc0);
    _mm256_mask_storeu_epi16(at, first(count), _mm512_cvtepi32_epi16(result));
  }

  static TVT_INLINE void store_halves(float* low, float* high, Vector value) {
    _mm256_store_ps(low, _mm512_castps512_ps256(value));
    _mm256_store_ps(high, _mm512_extractf32x8_ps(value, 1));
  }

  static TVT_INLINE void transpose(Vector (&rows)[kLanes]) {
    Vector t[kLanes];
    for (int i = 0; i < 16; i += 4) {
      const Vector a = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
      const Vector b = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
      const Vector c = _mm512_unpacklo_ps(rows[i + 2], rows[i + 3]);
      const Vector d = _mm512_unpackhi_ps(rows[i + 2], rows[i + 3]);
      t[i] = _mm512_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    // t[4 g + i] holds columns i, 4 + i, 8 + i and 12 + i of rows 4 g to 4 g + 3, 128 bits each.
    for (int i = 0; i < 4; ++i) {
      const Vector a = _mm512_shuffle_f32x4(t[i], t[4 + i], 0x88);
      const Vector b = _mm512_shuffle_f32x4(t[i], t[4 + i], 0xdd);
      const Vector c = _mm512_shuffle_f32x4(t[8 + i], t[12 + i], 0x88);
      const Vector d = _mm512_shuffle_f32x4(t[8 + i], t[12 + i], 0xdd);
      rows[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      rows[4 + i] = _mm512_shuffle_f32x4(b, d, 0x88);
      rows[8 + i] = _mm512_shuffle_f32x4(a, c, 0xdd);
      rows[12 + i] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
  }
};

}  // namespace
}  // namespace tvt
