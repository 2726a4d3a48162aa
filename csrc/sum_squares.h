// Sums of squares of contiguous runs.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// fp64 sum of squares of n elements.
double sum_squares(const float* x, std::int64_t n);
double sum_squares(const Half* x, std::int64_t n);
double sum_squares(const BFloat16* x, std::int64_t n);

}  // namespace tvt
