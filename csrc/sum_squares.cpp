#include "sum_squares.h"

#include "target.h"

namespace tvt {
namespace {

template <typename T>
TVT_INLINE double run(const T* x, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) {
    const double value = to_float(x[i]);
    sum += value * value;
  }
  return sum;
}

}  // namespace

TVT_CLONES double sum_squares(const float* x, std::int64_t n) { return run(x, n); }
TVT_CLONES double sum_squares(const Half* x, std::int64_t n) { return run(x, n); }
TVT_CLONES double sum_squares(const BFloat16* x, std::int64_t n) { return run(x, n); }

}  // namespace tvt
