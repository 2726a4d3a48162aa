// Layers that see one token at a time, written once for every instruction set. Included by the file of each, whose
// functions are compiled for it; so everything is in an unnamed namespace.
#pragma once

#include <cmath>
#include <cstdint>

#include "dtype.h"
#include "layer_norm_kernels.h"

namespace tvt {
namespace {

// x Phi(x) = max(x, 0) - t Q(t) with t = |x| and Q = 1 - Phi. A root of Q is smooth enough for a polynomial in t, which
// is minimax on [0, last] in |error of Q| max(1, t). Behind `last` t Q(t) stays what it is there.
template <std::int64_t kTerms>
struct GeluTail {
  float last;
  int squarings;  // that undo the root
  float root[kTerms];
};

// Errors below 1.7e-8; t Q(t) is below 6e-9 at the end.
constexpr GeluTail<11> kGeluTail = {
    6.0f,
    2,
    {0.8408964276313782f, -0.1677340865135193f, -0.05019250139594078f, 0.00461819302290678f,
     0.0038731482345610857f, -0.00013454933650791645f, -0.00023466814309358597f,
     2.700008190004155e-05f, 4.47039610662614e-06f, -1.0535883347984054e-06f,
     5.805977565387366e-08f}};

// For results of 16 bits: errors below 2.7e-6; t Q(t) is below 6e-7 at the end.
constexpr GeluTail<6> kShortGeluTail = {
    5.2f,
    3,
    {0.9170046448707581f, -0.09148290753364563f, -0.03176203370094299f, -0.0010584057308733463f,
     0.001916714245453477f, -0.00018741475651040673f}};

template <typename Isa, std::int64_t kTerms>
TVT_INLINE typename Isa::Vector gelu_with(const GeluTail<kTerms>& tail, typename Isa::Vector x) {
  using Vector = typename Isa::Vector;
  const Vector t = Isa::minimum(Isa::set(tail.last), Isa::magnitude(x));
  Vector power = Isa::set(tail.root[kTerms - 1]);
#pragma GCC unroll 10
  for (std::int64_t i = kTerms - 2; i >= 0; --i) {
    power = Isa::fma(power, t, Isa::set(tail.root[i]));
  }
#pragma GCC unroll 3
  for (int i = 0; i < tail.squarings; ++i) power = Isa::multiply(power, power);
  return Isa::subtract(Isa::maximum(Isa::zero(), x), Isa::multiply(t, power));
}

// GELU, to be rounded to T.
template <typename Isa, typename T>
TVT_INLINE typename Isa::Vector gelu_of(typename Isa::Vector x) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return gelu_with<Isa>(kGeluTail, x);
  } else {
    return gelu_with<Isa>(kShortGeluTail, x);
  }
}

// The sum of what f(sum, first, count) adds for every vector of a row, the last of which may be shorter. Several partial
// sums hide the latency of an addition.
template <typename Isa, typename F>
TVT_INLINE float sum_of(std::int64_t columns, const F& f) {
  constexpr std::int64_t kLanes = Isa::kLanes, kSums = 4;
  typename Isa::Vector sums[kSums];
  for (auto& sum : sums) sum = Isa::zero();
  std::int64_t i = 0;
  for (; i + kSums * kLanes <= columns; i += kSums * kLanes) {
#pragma GCC unroll 4
    for (std::int64_t k = 0; k < kSums; ++k) sums[k] = f(sums[k], i + k * kLanes, kLanes);
  }
  for (; i + kLanes <= columns; i += kLanes) sums[0] = f(sums[0], i, kLanes);
  if (i < columns) sums[1] = f(sums[1], i, columns - i);
  return Isa::sum(Isa::add(Isa::add(sums[0], sums[1]), Isa::add(sums[2], sums[3])));
}

// Layer normalisation of a row of x.
template <typename Isa, typename T, typename Out>
TVT_INLINE void normalise_row(const T* x, Out* out, std::int64_t columns, float eps) {
  using Vector = typename Isa::Vector;
  constexpr std::int64_t kLanes = Isa::kLanes;
  const float inverse = 1.0f / static_cast<float>(columns);
  const float sum = sum_of<Isa>(columns, [&](Vector sum, std::int64_t i, std::int64_t count) {
    return Isa::add(sum, Isa::load(x + i, count));
  });
  const Vector mean = Isa::set(sum * inverse);
  const float squares = sum_of<Isa>(columns, [&](Vector sum, std::int64_t i, std::int64_t count) {
    const Vector centred = Isa::keep(Isa::subtract(Isa::load(x + i, count), mean), count);
    return Isa::fma(centred, centred, sum);
  });
  const Vector scale = Isa::set(1.0f / std::sqrt(squares * inverse + eps));
  const auto normalise = [&](std::int64_t i, std::int64_t count) {
    const Vector centred = Isa::subtract(Isa::load(x + i, count), mean);
    Isa::store(out + i, Isa::multiply(centred, scale), count);
  };
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) normalise(i, kLanes);
  if (i < columns) normalise(i, columns - i);
}

template <typename Isa, typename T>
void layer_norm_rows(const LayerNorm& task) {
  const T* x = static_cast<const T*>(task.x);
  T* out = static_cast<T*>(task.out);
  for (std::int64_t row = 0; row < task.rows; ++row, x += task.row_stride, out += task.columns) {
    normalise_row<Isa>(x, out, task.columns, static_cast<float>(task.eps));
  }
}

template <typename Isa>
TVT_INLINE void layer_norm_any(const LayerNorm& task) {
  switch (task.dtype) {
    case DType::f32:
      return layer_norm_rows<Isa, float>(task);
    case DType::f16:
      return layer_norm_rows<Isa, Half>(task);
    case DType::bf16:
      return layer_norm_rows<Isa, BFloat16>(task);
  }
}

}  // namespace
}  // namespace tvt
