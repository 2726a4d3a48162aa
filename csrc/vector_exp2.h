// 2^x in vectors, for softmax; for files compiled for an instruction set.
#pragma once

#include "target.h"

namespace tvt {
namespace {

constexpr double kLog2E = 1.4426950408889634;

// 2^r on [-1/2, 1/2], exact at 0, relative error below 6.4e-8: minimax polynomial.
constexpr float kExp2[5] = {0.693146646f, 0.240222245f, 0.0555115454f, 0.00967267435f,
                            0.00131540489f};
constexpr float kExp2Floor = -160;  // 2^x is zero from here on

template <typename Isa>
TVT_INLINE typename Isa::Vector vector_exp2(typename Isa::Vector x) {
  using Vector = typename Isa::Vector;
  x = Isa::maximum(Isa::set(kExp2Floor), x);
  const Vector whole = Isa::round(x);
  const Vector r = Isa::subtract(x, whole);
  Vector power = Isa::set(kExp2[4]);
  for (int i = 3; i >= 0; --i) power = Isa::fma(power, r, Isa::set(kExp2[i]));
  return Isa::scale(Isa::fma(power, r, Isa::set(1)), whole);
}

}  // namespace
}  // namespace tvt
