// Element types of input tensors and their exact conversion to float.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define TVT_HOST_DEVICE __host__ __device__
#else
#define TVT_HOST_DEVICE
#endif

namespace tvt {

// Order of SUPPORTED_DTYPES in kernels/spec.py.
enum class DType : std::int64_t { f32 = 0, f16 = 1, bf16 = 2 };

inline std::int64_t element_size(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

struct Half {
  std::uint16_t bits;
};

struct BFloat16 {
  std::uint16_t bits;
};

enum class Status : int { ok = 0, bad_dtype = 1, out_of_memory = 2 };

TVT_HOST_DEVICE inline float float_from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

TVT_HOST_DEVICE inline std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float to_float(float value) { return value; }

inline float to_float(BFloat16 value) {
  return float_from_bits(static_cast<std::uint32_t>(value.bits) << 16);
}

// Branch-free, so that loops over it vectorise: the exponent is rebased by an exact multiplication with
// 2^112, which also normalises subnormals; infinities and NaNs get the full float exponent.
inline float to_float(Half value) {
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = (value.bits & 0x7fffu) << 13;
  const std::uint32_t finite = bits_of(float_from_bits(magnitude) * 0x1p112f);
  const std::uint32_t special = magnitude | 0x7f800000u;
  return float_from_bits(sign | (magnitude >= 0x0f800000u ? special : finite));
}

// Round to nearest, ties to even.
template <typename T>
T from_float(float value);

template <>
inline float from_float<float>(float value) {
  return value;
}

template <>
inline BFloat16 from_float<BFloat16>(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<std::uint16_t>(is_nan ? 0x7fc0u : rounded)};
}

// Scaling up and down makes values beyond the largest half infinite; adding a power of two that depends on the
// exponent makes the addition itself round at the last bit of a half (FP16 library, M. Dukhan).
template <>
inline Half from_float<Half>(float value) {
  const std::uint32_t bits = bits_of(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t twice = bits + bits;
  float base = float_from_bits(bits & 0x7fffffffu) * 0x1p112f * 0x1p-110f;
  std::uint32_t bias = twice & 0xff000000u;
  bias = bias < 0x71000000u ? 0x71000000u : bias;
  base = float_from_bits((bias >> 1) + 0x07800000u) + base;
  const std::uint32_t sum = bits_of(base);
  const std::uint32_t rounded = ((sum >> 13) & 0x7c00u) + (sum & 0x0fffu);
  return {static_cast<std::uint16_t>(sign | (twice > 0xff000000u ? 0x7e00u : rounded))};
}

}  // namespace tvt
