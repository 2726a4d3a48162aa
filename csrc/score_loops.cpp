#include "score_loops.h"

#include <limits>

#include "dtype.h"
#include "target.h"

// Products may be contracted with sums here: nothing promises the same bits on all machines.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

namespace tvt {
namespace {

constexpr float kRounder = 12582912.0f;   // 1.5 * 2^23: adding it leaves an integer in the last bits
constexpr float kSmallestExponent = -126.0f;
constexpr float kNoWeight = -1024.0f;     // stands for the logarithm of 0, which a weight of 0 multiplies

// 2^x for x <= 0, within 2 units in the last place; 0 where it would be subnormal (Cephes, S. Moshier).
TVT_INLINE float exp2_nonpositive(float x) {
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
