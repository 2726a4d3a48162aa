// Inner loops over attention scores. Counts are multiples of kPanel; exponents are of base 2.
#pragma once

#include <cstdint>

namespace tvt {

constexpr std::int64_t kPanel = 16;  // keys side by side
constexpr std::int64_t kGroup = 6;   // queries multiplied with a panel at a time

// scores[r * stride + l] = sum over d of queries[r * width + d] * panel[d * kPanel + l], for kGroup queries and
// kPanel keys; the width is at least 1.
void multiply_panel(const float* queries, const float* panel, std::int64_t width, float* scores,
                    std::int64_t stride);

// Sums over the keys of one query, of weights w = 2^(s - largest) that replace the scores s.
struct RowSums {
  float largest;
  float total;     // of w
  float weighted;  // of w * (s - largest)
  float product;   // of w * teacher
};

// A score of minus infinity has weight 0 and counts nowhere; a NaN reaches every sum.
RowSums exponentiate(float* scores, const float* teacher, std::int64_t count);

// sums[j] += x[j] * factor
void add_scaled(const float* x, float factor, std::int64_t count, float* sums);

}  // namespace tvt
