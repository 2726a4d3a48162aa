// Exact GELU.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "vector_set.h"

namespace tvt {

// x Phi(x) in place of `count` adjacent values; Phi is the standard normal distribution function. Before rounding to
// the type of x the error is at most 4 u |x| and, for x <= 0, at most 1.2e-7; u = 2^-24. The result does not depend on
// `threads`. `set` must not come before vector_set().
Status gelu(void* x, DType dtype, std::int64_t count, VectorSet set, int threads);

}  // namespace tvt
