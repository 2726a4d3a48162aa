// Vectors of AVX2 (x86-64-v3), for files compiled for it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "dtype.h"
#include "target.h"

namespace tvt {
namespace {

struct Avx2 {
  using Vector = __m256;
  static constexpr std::int64_t kLanes = 8;

  static TVT_INLINE Vector zero() { return _mm256_setzero_ps(); }
  static TVT_INLINE Vector set(float value) { return _mm256_set1_ps(value); }
  static TVT_INLINE Vector broadcast(const float* at) { return _mm256_broadcast_ss(at); }
  static TVT_INLINE Vector load(const float* at) { return _mm256_load_ps(at); }
  static TVT_INLINE void store(float* at, Vector value) { _mm256_store_ps(at, value); }
  static TVT_INLINE Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static TVT_INLINE Vector subtract(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static TVT_INLINE Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static TVT_INLINE Vector divide(Vector a, Vector b) { return _mm256_div_ps(a, b); }
  static TVT_INLINE Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  // A NaN in b is returned.
  static TVT_INLINE Vector maximum(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static TVT_INLINE Vector minimum(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static TVT_INLINE Vector magnitude(Vector a) { return _mm256_andnot_ps(set(-0.0f), a); }
  static TVT_INLINE Vector round(Vector a) { return _mm256_round_ps(a, 8); }
  // a 2^exponent for a in [1/2, 2] and exponents up to 0; zero where it would be subnormal. A NaN stays.
  static TVT_INLINE Vector scale(Vector a, Vector exponent) {
    const __m256i whole = _mm256_cvtps_epi32(exponent);
    const __m256 tiny = _mm256_cmp_ps(exponent, set(-125), _CMP_LT_OQ);
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(whole, 23));
    const __m256 nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_andnot_ps(tiny, _mm256_castsi256_ps(bits)), a, nan);
  }

  static TVT_INLINE __m256i first(std::int64_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(std::min(count, kLanes))), lanes);
  }

  // Values of 16 bits.
  template <typename T>
  static TVT_INLINE __m128i load_words(const T* at, std::int64_t count) {
    if (count >= kLanes) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    T values[kLanes] = {};
    for (int i = 0; i < count; ++i) values[i] = at[i];
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
  }
  template <typename T>
  static TVT_INLINE void store_words(T* at, __m128i words, std::int64_t count) {
    if (count >= kLanes) return _mm_storeu_si128(reinterpret_cast<__m128i*>(at), words);
    T values[kLanes];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(values), words);
    for (int i = 0; i < count; ++i) at[i] = values[i];
  }

  static TVT_INLINE float sum(Vector a) {
    const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
  }

  // The first `count` lanes, then zeros.
  static TVT_INLINE Vector keep(Vector a, std::int64_t count) {
    return _mm256_and_ps(a, _mm256_castsi256_ps(first(count)));
  }

  // The first `count` values, then zeros.
  static TVT_INLINE Vector load(const float* at, std::int64_t count) {
    return count >= kLanes ? _mm256_loadu_ps(at) : _mm256_maskload_ps(at, first(count));
  }
  static TVT_INLINE Vector load(const Half* at, std::int64_t count) {
    return _mm256_cvtph_ps(load_words(at, count));
  }
  static TVT_INLINE Vector load(const BFloat16* at, std::int64_t count) {
    const __m256i bits = _mm256_cvtepu16_epi32(load_words(at, count));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
  }

  // Stores the first `count` values.
  static TVT_INLINE void store(float* at, Vector value, std::int64_t count) {
    if (count >= kLanes) return _mm256_storeu_ps(at, value);
    _mm256_maskstore_ps(at, first(count), value);
  }
  static TVT_INLINE void store(Half* at, Vector value, std::int64_t count) {
    store_words(at, _mm256_cvtps_ph(value, 8), count);
  }
  static TVT_INLINE void store(BFloat16* at, Vector value, std::int64_t count) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    const __m256i result = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
    store_words(at, _mm_packus_epi32(_mm256_castsi256_si128(result),
                                     _mm256_extracti128_si256(result, 1)), count);
  }

  static TVT_INLINE void store_halves(float* low, float* high, Vector value) {
    _mm_store_ps(low, _mm256_castps256_ps128(value));
    _mm_store_ps(high, _mm256_extractf128_ps(value, 1));
  }

  static TVT_INLINE void transpose(Vector (&rows)[kLanes]) {
    Vector t[kLanes];
    for (int i = 0; i < 8; i += 4) {
      const Vector a = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      const Vector b = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
      const Vector c = _mm256_unpacklo_ps(rows[i + 2], rows[i + 3]);
      const Vector d = _mm256_unpackhi_ps(rows[i + 2], rows[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    // t[4 g + i] holds columns i and 4 + i of rows 4 g to 4 g + 3, 128 bits each.
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(t[i], t[4 + i], 0x20);
      rows[4 + i] = _mm256_permute2f128_ps(t[i], t[4 + i], 0x31);
    }
  }
};

}  // namespace
}  // namespace tvt
