// 2^x for softmax: exponents are relative to the largest, so none is positive.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "target.h"

namespace tvt {

// Within 2 units in the last place for x <= 0; 0 where the result would be subnormal (Cephes, S. Moshier).
TVT_INLINE float exp2_nonpositive(float x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the last bits
  constexpr float kSmallestExponent = -126.0f;
  const float rounded = x + kRounder;
  const float r = x - (rounded - kRounder);
  float p = 1.535336188319500e-4f;
  p = p * r + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.0f;
  const std::uint32_t exponent = (bits_of(rounded) - bits_of(kRounder) + 127u) << 23;
  return x < kSmallestExponent ? 0.0f : p * float_from_bits(exponent);
}

}  // namespace tvt
