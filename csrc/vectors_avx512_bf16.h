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

}  // namespace
}  // namespace tvt
