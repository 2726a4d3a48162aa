// Inner loops over the features of one image, for every element type and both layouts.
//
// "channels": channels are adjacent (tokens, channels-last). "positions": positions are adjacent ([C, H, W]).
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// One bilinear tap per output coordinate: the value is (1 - weight) * x[low] + weight * x[high].
struct Tap {
  std::int64_t low;
  std::int64_t high;
  float weight;
};

constexpr std::int64_t kMaxLanes = 512;

// A block of channels of one image as float [height * width, lanes], and its resize to [rows, columns]; lanes is at
// most kMaxLanes.
struct Block {
  std::int64_t width;
  std::int64_t lanes;
  const Tap* row_taps;
  std::int64_t rows;
  const Tap* column_taps;
  std::int64_t columns;
};

#define TVT_FOR_EACH_DTYPE(DECLARE) DECLARE(float) DECLARE(Half) DECLARE(BFloat16)

#define TVT_DECLARE(T)                                                                            \
  /* sums[p] += sum over c of x[p * stride + c]^2, for count positions. */                        \
  void add_squares_channels(const T* x, std::int64_t count, std::int64_t stride,                  \
                            std::int64_t channels, double* sums);                                 \
  /* sums[p] += sum over c of x[c * stride + p]^2, for count positions. */                        \
  void add_squares_positions(const T* x, std::int64_t count, std::int64_t stride,                 \
                             std::int64_t channels, double* sums);                                \
  /* out[p * channels + c] = x[p * stride + c] * scale[p]. */                                     \
  void scale_channels(const T* x, std::int64_t count, std::int64_t stride, std::int64_t channels, \
                      const float* scale, T* out);                                                \
  /* out[p] = x[p] * scale[p]. */                                                                 \
  void scale_positions(const T* x, std::int64_t count, const float* scale, T* out);               \
  /* block[p * lanes + l] = x[p * position_stride + l * channel_stride], zero for l >= channels. */ \
  void load_row(const T* x, std::int64_t count, std::int64_t position_stride,                     \
                std::int64_t channel_stride, std::int64_t channels, std::int64_t lanes,           \
                float* block);                                                                    \
  /* The inverse of load_row, without the padding. */                                             \
  void store_row(const float* block, std::int64_t count, std::int64_t position_stride,            \
                 std::int64_t channel_stride, std::int64_t channels, std::int64_t lanes, T* x);
TVT_FOR_EACH_DTYPE(TVT_DECLARE)
#undef TVT_DECLARE

// sums[p] += sum over lanes of the squared resized block.
void add_squares_resized(const Block& shape, const float* block, double* sums);

// gradient += adjoint of the resize, applied to scale[p] times the resized block.
void add_resize_adjoint(const Block& shape, const float* block, const float* scale,
                        float* gradient);

// Sum over p of s[p]^2.
double squared_norm(const double* s, std::int64_t count);

// map[p] = s[p] * scale.
void scale_map(const double* s, std::int64_t count, double scale, float* map);

// Sum over p of (teacher[p] - s[p] * scale)^2.
double squared_distance(const double* s, std::int64_t count, double scale, const float* teacher);

// Sum over p of a[p] * b[p].
double inner_product(const float* a, const float* b, std::int64_t count);

}  // namespace tvt
