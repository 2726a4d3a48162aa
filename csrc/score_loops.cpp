#include "score_loops.h"

#include <limits>

#include "target.h"

// Products may be contracted with sums here: nothing promises the same bits on all machines.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

#include "exp2.h"  // to be inlined, and so compiled alike

namespace tvt {
namespace {

constexpr float kNoWeight = -1024.0f;  // stands for the logarithm of 0, which a weight of 0 multiplies

}  // namespace

TVT_CLONES void multiply_panel(const float* queries, const float* panel, std::int64_t width,
                               float* scores, std::int64_t stride) {
  float sums[kGroup][kPanel];
  for (std::int64_t r = 0; r < kGroup; ++r) {
#pragma omp simd
    for (std::int64_t l = 0; l < kPanel; ++l) sums[r][l] = queries[r * width] * panel[l];
  }
  for (std::int64_t d = 1; d < width; ++d) {
    const float* keys = panel + d * kPanel;
    for (std::int64_t r = 0; r < kGroup; ++r) {
      const float query = queries[r * width + d];
#pragma omp simd
      for (std::int64_t l = 0; l < kPanel; ++l) sums[r][l] += query * keys[l];
    }
  }
  for (std::int64_t r = 0; r < kGroup; ++r) {
#pragma omp simd
    for (std::int64_t l = 0; l < kPanel; ++l) scores[r * stride + l] = sums[r][l];
  }
}

TVT_CLONES RowSums exponentiate(float* scores, const float* teacher, std::int64_t count) {
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int64_t j = 0; j < count; ++j) largest = largest < scores[j] ? scores[j] : largest;
  float total = 0, weighted = 0, product = 0;
#pragma omp simd reduction(+ : total, weighted, product)
  for (std::int64_t j = 0; j < count; ++j) {
    const float exponent = scores[j] - largest;
    const float weight = exp2_nonpositive(exponent);
    total += weight;
    weighted += weight * (exponent < kNoWeight ? kNoWeight : exponent);
    product += weight * teacher[j];
    scores[j] = weight;
  }
  return {largest, total, weighted, product};
}

TVT_CLONES void add_scaled(const float* x, float factor, std::int64_t count, float* sums) {
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j) sums[j] += x[j] * factor;
}

}  // namespace tvt
