// Arithmetic of index-keyed random numbers, shared by the CPU and CUDA kernels. Every step is one correctly rounded
// fp32 operation, so files that include this must be compiled without contraction of a * b + c.
#pragma once

#include <cmath>
#include <cstdint>

#include "dtype.h"
#include "target.h"

namespace tvt {

// Philox 4x32-10 (Salmon et al., SC 2011).
constexpr int kPhiloxRounds = 10;
constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr std::uint32_t kPhiloxKeyStep0 = 0x9E3779B9u;
constexpr std::uint32_t kPhiloxKeyStep1 = 0xBB67AE85u;

// Every constant is rounded once from double, as in the reference.
TVT_HOST_DEVICE constexpr float f32(double value) { return static_cast<float>(value); }

// Uniform in [0, 1): a multiple of 2^-24.
TVT_HOST_DEVICE TVT_INLINE float unit_uniform(std::uint32_t word) {
  return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24f;
}

// Natural logarithm of u in [2^-25, 1] (Cephes logf).
TVT_HOST_DEVICE TVT_INLINE float log_unit(float u) {
  const std::uint32_t bits = bits_of(u) + (0x3f800000u - 0x3f3504f3u);
  const float exponent =
      static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 127);
  const float f = float_from_bits((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  const float square = f * f;
  float tail = f * f32(7.0376836292e-2) + f32(-1.1514610310e-1);
  tail = tail * f + f32(1.1676998740e-1);
  tail = tail * f + f32(-1.2420140846e-1);
  tail = tail * f + f32(1.4249322787e-1);
  tail = tail * f + f32(-1.6668057665e-1);
  tail = tail * f + f32(2.0000714765e-1);
  tail = tail * f + f32(-2.4999993993e-1);
  tail = tail * f + f32(3.3333331174e-1);
  tail = tail * f * square;
  tail = tail + exponent * f32(-2.12194440e-4);
  tail = tail - square * 0.5f;
  return (f + tail) + exponent * 0.693359375f;
}

// Two normals from two words: the radius from the first, the angle from the second. The angle 2 pi k / 2^24 is split
// into a quadrant and a remainder in [-pi/4, pi/4) in integers (Cephes sinf and cosf on the remainder).
TVT_HOST_DEVICE TVT_INLINE void box_muller(std::uint32_t first, std::uint32_t second, float& even,
                                           float& odd) {
  const float u = unit_uniform(first) + 0x1p-25f;
  const float radius = std::sqrt(log_unit(u) * -2.0f);

  const auto k = static_cast<std::int32_t>(second >> 8);
  const std::int32_t quadrant = (k + (1 << 21)) >> 22;
  const float angle = static_cast<float>(k - quadrant * (1 << 22)) * f32(2 * 3.141592653589793 / 16777216);
  const float square = angle * angle;
  float sine = square * f32(-1.9515295891e-4) + f32(8.3321608736e-3);
  sine = sine * square + f32(-1.6666654611e-1);
  sine = sine * square * angle + angle;
  float cosine = square * f32(2.443315711809948e-5) + f32(-1.388731625493765e-3);
  cosine = cosine * square + f32(4.166664568298827e-2);
  cosine = cosine * square * square - square * 0.5f + 1.0f;

  const bool swap = (quadrant & 1) != 0;
  const std::uint32_t flip_even = static_cast<std::uint32_t>((quadrant + 1) & 2) << 30;
  const std::uint32_t flip_odd = static_cast<std::uint32_t>(quadrant & 2) << 30;
  even = radius * float_from_bits(bits_of(swap ? sine : cosine) ^ flip_even);
  odd = radius * float_from_bits(bits_of(swap ? cosine : sine) ^ flip_odd);
}

}  // namespace tvt
