// Vectors of AVX-512 and its bf16 instructions in plain C++, for any CPU: what the kernels for AMX use of csrc's header
// of this name.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "dtype.h"
#include "target.h"

namespace tvt {
namespace {

struct Avx512Bf16 {
  static constexpr std::int64_t kLanes = 16;
  struct alignas(64) Vector {
    float lane[kLanes];
  };

  template <typename F>
  static Vector each(const F& f) {
    Vector result;
    for (std::int64_t i = 0; i < kLanes; ++i) result.lane[i] = f(i);
    return result;
  }

  static Vector zero() { return set(0); }
  static Vector set(float value) {
    return each([&](auto) { return value; });
  }
  static Vector add(Vector a, Vector b) {
    return each([&](auto i) { return a.lane[i] + b.lane[i]; });
  }
  static Vector subtract(Vector a, Vector b) {
    return each([&](auto i) { return a.lane[i] - b.lane[i]; });
  }
  static Vector multiply(Vector a, Vector b) {
    return each([&](auto i) { return a.lane[i] * b.lane[i]; });
  }
  static Vector fma(Vector a, Vector b, Vector c) {
    return each([&](auto i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static Vector maximum(Vector a, Vector b) {
    return each([&](auto i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static Vector minimum(Vector a, Vector b) {
    return each([&](auto i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static Vector magnitude(Vector a) {
    return each([&](auto i) { return std::fabs(a.lane[i]); });
  }
  static Vector round(Vector a) {
    return each([&](auto i) { return std::nearbyint(a.lane[i]); });
  }
  static Vector scale(Vector a, Vector exponent) {
    return each([&](auto i) {
      return std::isnan(exponent.lane[i]) ? exponent.lane[i]
                                          : std::ldexp(a.lane[i], static_cast<int>(exponent.lane[i]));
    });
  }
  static Vector keep(Vector a, std::int64_t count) {
    return each([&](auto i) { return i < count ? a.lane[i] : 0.0f; });
  }

  static float sum(Vector a) {
    for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
    }
    return a.lane[0];
  }
  static float largest(Vector a) { return *std::max_element(a.lane, a.lane + kLanes); }

  // UndefinedBehaviorSanitizer sees an address that is no multiple of 64.
  static Vector load(const float* at) { return *reinterpret_cast<const Vector*>(at); }
  static void store(float* at, Vector value) { *reinterpret_cast<Vector*>(at) = value; }

  template <typename T>
  static Vector load(const T* at, std::int64_t count) {
    return each([&](auto i) { return i < count ? to_float(at[i]) : 0.0f; });
  }
  static void store(float* at, Vector value, std::int64_t count) {
    std::copy_n(value.lane, std::min(count, kLanes), at);
  }
  static void store(BFloat16* at, Vector value, std::int64_t count) {
    for (std::int64_t i = 0; i < std::min(count, kLanes); ++i) at[i] = rounded(value.lane[i]);
  }

  static void transpose(Vector (&rows)[kLanes]) {
    for (std::int64_t i = 0; i < kLanes; ++i) {
      for (std::int64_t j = 0; j < i; ++j) std::swap(rows[i].lane[j], rows[j].lane[i]);
    }
  }

  static float flushed(float value) {
    return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
  }
  static BFloat16 rounded(float value) { return from_float<BFloat16>(flushed(value)); }
};

struct BFloat16Pair {
  using Isa = Avx512Bf16;
  using Element = BFloat16;
  using Vector = Isa::Vector;
  static constexpr std::int64_t kTerms = 2;

  template <typename F>
  static Vector words(const F& f) {
    BFloat16 values[2 * Isa::kLanes];
    for (std::int64_t i = 0; i < 2 * Isa::kLanes; ++i) values[i] = f(i);
    Vector result;
    std::memcpy(&result, values, sizeof result);
    return result;
  }

  static Vector load(const BFloat16* values, std::int64_t count) {
    return words([&](auto i) { return i < count ? values[i] : BFloat16{}; });
  }
  static Vector load_columns(const BFloat16* row, std::int64_t stride, std::int64_t rows,
                             std::int64_t count) {
    return words([&](auto i) {
      return i / 2 < count && (i % 2 == 0 || rows == 2) ? row[i % 2 * stride + i / 2] : BFloat16{};
    });
  }
  static Vector round(Vector first, Vector second) {
    return words([&](auto i) {
      return Isa::rounded(i < Isa::kLanes ? first.lane[i] : second.lane[i - Isa::kLanes]);
    });
  }
  // VDPBF16PS: the odd product first.
  static Vector multiply_add(Vector left, Vector right, Vector sum) {
    BFloat16 a[2 * Isa::kLanes], b[2 * Isa::kLanes];
    std::memcpy(a, &left, sizeof a);
    std::memcpy(b, &right, sizeof b);
    return Isa::each([&](auto i) {
      const auto product = [&](auto k, float c) {
        return Isa::flushed(std::fma(Isa::flushed(to_float(a[k])), Isa::flushed(to_float(b[k])), c));
      };
      return product(2 * i, product(2 * i + 1, sum.lane[i]));
    });
  }
};

}  // namespace
}  // namespace tvt
