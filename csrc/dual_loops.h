// Inner loops of attention and its tangent. A row is one query or key; channels of a row are adjacent, unless a matrix
// is said to be transposed. Counts of keys are multiples of kLanes.
#pragma once

#include <cstdint>

namespace tvt {

constexpr std::int64_t kLanes = 16;  // keys, or values of a row, side by side
constexpr std::int64_t kRows = 4;    // queries or keys that one call takes

// Scores s = q k^T and their tangents of kRows queries, [kRows, count]; keys are transposed, [width, count].
void dual_scores(const float* q, const float* dq, const float* k, const float* dk,
                 std::int64_t width, std::int64_t count, float* s, float* ds);

// Weights w = e^(s - max s) replace the scores s of one query, and w ds the tangents.
struct DualSums {
  float weight;
  float tangent;
};
DualSums dual_weights(float* s, float* ds, std::int64_t count);

// Sums w v and w dv + dw v of kRows queries, [kRows, width]; values are transposed, [width, count].
void dual_mix(const float* w, const float* dw, const float* v, const float* dv, std::int64_t width,
              std::int64_t count, float* mixed, float* dmixed);

// sums[i, c] += sum over kRows rows of f[r, i] v[r, c], and the tangent of that; `columns` is a multiple of kLanes.
void add_moments(const float* f, const float* df, std::int64_t terms, const float* v,
                 const float* dv, std::int64_t columns, float* sums, float* dsums);

// result[r, c] = sum over i of f[r, i] sums[i, c] for kRows rows, and the tangent of that.
void apply_moments(const float* f, const float* df, std::int64_t terms, const float* sums,
                   const float* dsums, std::int64_t columns, float* result, float* dresult);

}  // namespace tvt
