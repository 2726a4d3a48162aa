// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <limits>

#include "attention_head.h"

#if TVT_HAS_CLONES
#pragma GCC target("arch=x86-64-v3")
#include <immintrin.h>

#include "attention_tiles.h"

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
  static TVT_INLINE Vector round(Vector a) { return _mm256_round_ps(a, 8); }
  // a 2^exponent for a in [1/2, 2] and exponents up to 0; zero where it would be subnormal. A NaN stays.
  static TVT_INLINE Vector scale(Vector a, Vector exponent) {
    const __m256i whole = _mm256_cvtps_epi32(exponent);
    const __m256 tiny = _mm256_cmp_ps(exponent, set(-125), _CMP_LT_OQ);
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_slli_epi32(whole, 23));
    const __m256 nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_andnot_ps(tiny, _mm256_castsi256_ps(bits)), a, nan);
  }

  // The first `count` values, then zeros.
  template <typename T>
  static TVT_INLINE Vector load(const T* at, std::int64_t count) {
    alignas(32) float values[kLanes];
    if (count >= kLanes) {
      for (int i = 0; i < kLanes; ++i) values[i] = to_float(at[i]);
    } else {
      for (int i = 0; i < kLanes; ++i) values[i] = i < count ? to_float(at[i]) : 0;
    }
    return load(values);
  }

  // Stores the first `count` values.
  template <typename T>
  static TVT_INLINE void store(T* at, Vector value, std::int64_t count) {
    alignas(32) float values[kLanes];
    store(values, value);
    if (count >= kLanes) {
      for (int i = 0; i < kLanes; ++i) at[i] = from_float<T>(values[i]);
    } else {
      for (int i = 0; i < count; ++i) at[i] = from_float<T>(values[i]);
    }
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

void attention_avx2(const AttentionHead& head) { attention_single<Avx2>(head); }

}  // namespace tvt
#endif
