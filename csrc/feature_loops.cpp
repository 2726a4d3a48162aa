#include "feature_loops.h"

#include <algorithm>

#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kRun = 512;    // adjacent channels summed in float before the sum becomes double
constexpr std::int64_t kPlanes = 16;  // planes summed in float before the sum becomes double
constexpr std::int64_t kTile = 512;   // positions of a plane walked together

template <typename T>
TVT_INLINE void add_squares_channels_of(const T* x, std::int64_t count, std::int64_t stride,
                                        std::int64_t channels, double* sums) {
  for (std::int64_t p = 0; p < count; ++p) {
    for (std::int64_t begin = 0; begin < channels; begin += kRun) {
      const T* row = x + p * stride + begin;
      const std::int64_t run = std::min(kRun, channels - begin);
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t c = 0; c < run; ++c) {
        const float value = to_float(row[c]);
        sum += value * value;
      }
      sums[p] += sum;
    }
  }
}

// Planes are read one after the other, which is what hardware prefetches best; partial sums of a tile stay in L1.
template <typename T>
TVT_INLINE void add_squares_positions_of(const T* x, std::int64_t count, std::int64_t stride,
                                         std::int64_t channels, double* sums) {
  for (std::int64_t begin = 0; begin < count; begin += kTile) {
    const std::int64_t tile = std::min(kTile, count - begin);
    for (std::int64_t first = 0; first < channels; first += kPlanes) {
      const std::int64_t last = std::min(first + kPlanes, channels);
      float partial[kTile] = {};
      for (std::int64_t c = first; c < last; ++c) {
        const T* plane = x + c * stride + begin;
#pragma omp simd
        for (std::int64_t p = 0; p < tile; ++p) {
          const float value = to_float(plane[p]);
          partial[p] += value * value;
        }
      }
#pragma omp simd
      for (std::int64_t p = 0; p < tile; ++p) sums[begin + p] += partial[p];
    }
  }
}

template <typename T>
TVT_INLINE void scale_channels_of(const T* x, std::int64_t count, std::int64_t stride,
                                  std::int64_t channels, const float* scale, T* out) {
  for (std::int64_t p = 0; p < count; ++p) {
    const T* row = x + p * stride;
    T* to = out + p * channels;
    const float factor = scale[p];
#pragma omp simd
    for (std::int64_t c = 0; c < channels; ++c) to[c] = from_float<T>(to_float(row[c]) * factor);
  }
}

template <typename T>
TVT_INLINE void scale_positions_of(const T* x, std::int64_t count, const float* scale, T* out) {
#pragma omp simd
  for (std::int64_t p = 0; p < count; ++p) out[p] = from_float<T>(to_float(x[p]) * scale[p]);
}

template <typename T>
TVT_INLINE void load_row_of(const T* x, std::int64_t count, std::int64_t position_stride,
                            std::int64_t channel_stride, std::int64_t channels,
                            std::int64_t lanes, float* block) {
  for (std::int64_t p = 0; p < count; ++p) {
    const T* from = x + p * position_stride;
    float* to = block + p * lanes;
    for (std::int64_t l = 0; l < channels; ++l) to[l] = to_float(from[l * channel_stride]);
    for (std::int64_t l = channels; l < lanes; ++l) to[l] = 0;
  }
}

template <typename T>
TVT_INLINE void store_row_of(const float* block, std::int64_t count, std::int64_t position_stride,
                             std::int64_t channel_stride, std::int64_t channels,
                             std::int64_t lanes, T* x) {
  for (std::int64_t p = 0; p < count; ++p) {
    T* to = x + p * position_stride;
    const float* from = block + p * lanes;
    for (std::int64_t l = 0; l < channels; ++l) to[l * channel_stride] = from_float<T>(from[l]);
  }
}

// The four source positions of one output position and their weights.
struct Corners {
  const float* at[4];
  std::int64_t offset[4];
  float weight[4];
};

TVT_INLINE Corners corners(const Block& shape, const float* block, std::int64_t row,
                           std::int64_t column) {
  const Tap y = shape.row_taps[row];
  const Tap x = shape.column_taps[column];
  const std::int64_t rows[2] = {y.low * shape.width, y.high * shape.width};
  const std::int64_t columns[2] = {x.low, x.high};
  const float row_weights[2] = {1 - y.weight, y.weight};
  const float column_weights[2] = {1 - x.weight, x.weight};
  Corners result;
  for (int k = 0; k < 4; ++k) {
    result.offset[k] = (rows[k / 2] + columns[k % 2]) * shape.lanes;
    result.at[k] = block + result.offset[k];
    result.weight[k] = row_weights[k / 2] * column_weights[k % 2];
  }
  return result;
}

}  // namespace

#define TVT_DEFINE(T)                                                                            \
  TVT_CLONES void add_squares_channels(const T* x, std::int64_t count, std::int64_t stride,      \
                                       std::int64_t channels, double* sums) {                    \
    add_squares_channels_of(x, count, stride, channels, sums);                                   \
  }                                                                                              \
  TVT_CLONES void add_squares_positions(const T* x, std::int64_t count, std::int64_t stride,     \
                                        std::int64_t channels, double* sums) {                   \
    add_squares_positions_of(x, count, stride, channels, sums);                                  \
  }                                                                                              \
  TVT_CLONES void scale_channels(const T* x, std::int64_t count, std::int64_t stride,            \
                                 std::int64_t channels, const float* scale, T* out) {            \
    scale_channels_of(x, count, stride, channels, scale, out);                                   \
  }                                                                                              \
  TVT_CLONES void scale_positions(const T* x, std::int64_t count, const float* scale, T* out) {  \
    scale_positions_of(x, count, scale, out);                                                    \
  }                                                                                              \
  TVT_CLONES void load_row(const T* x, std::int64_t count, std::int64_t position_stride,         \
                           std::int64_t channel_stride, std::int64_t channels,                   \
                           std::int64_t lanes, float* block) {                                   \
    load_row_of(x, count, position_stride, channel_stride, channels, lanes, block);              \
  }                                                                                              \
  TVT_CLONES void store_row(const float* block, std::int64_t count,                              \
                            std::int64_t position_stride, std::int64_t channel_stride,           \
                            std::int64_t channels, std::int64_t lanes, T* x) {                   \
    store_row_of(block, count, position_stride, channel_stride, channels, lanes, x);             \
  }
TVT_FOR_EACH_DTYPE(TVT_DEFINE)
#undef TVT_DEFINE

TVT_CLONES void add_squares_resized(const Block& shape, const float* block, double* sums) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      const Corners c = corners(shape, block, row, column);
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t l = 0; l < shape.lanes; ++l) {
        const float value = (c.weight[0] * c.at[0][l] + c.weight[1] * c.at[1][l]) +
                            (c.weight[2] * c.at[2][l] + c.weight[3] * c.at[3][l]);
        sum += value * value;
      }
      sums[row * shape.columns + column] += sum;
    }
  }
}

TVT_CLONES void add_resize_adjoint(const Block& shape, const float* block, const float* scale,
                                   float* gradient) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      const Corners c = corners(shape, block, row, column);
      const float factor = scale[row * shape.columns + column];
      float value[kMaxLanes];
#pragma omp simd
      for (std::int64_t l = 0; l < shape.lanes; ++l) {
        value[l] = factor * ((c.weight[0] * c.at[0][l] + c.weight[1] * c.at[1][l]) +
                             (c.weight[2] * c.at[2][l] + c.weight[3] * c.at[3][l]));
      }
      // Corners coincide at the border, so each is added in its own loop.
      for (int k = 0; k < 4; ++k) {
        float* to = gradient + c.offset[k];
#pragma omp simd
        for (std::int64_t l = 0; l < shape.lanes; ++l) to[l] += c.weight[k] * value[l];
      }
    }
  }
}

TVT_CLONES double squared_norm(const double* s, std::int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t p = 0; p < count; ++p) sum += s[p] * s[p];
  return sum;
}

TVT_CLONES void scale_map(const double* s, std::int64_t count, double scale, float* map) {
#pragma omp simd
  for (std::int64_t p = 0; p < count; ++p) map[p] = static_cast<float>(s[p] * scale);
}

TVT_CLONES double squared_distance(const double* s, std::int64_t count, double scale,
                                   const float* teacher) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t p = 0; p < count; ++p) {
    const double difference = teacher[p] - s[p] * scale;
    sum += difference * difference;
  }
  return sum;
}

TVT_CLONES double inner_product(const float* a, const float* b, std::int64_t count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t p = 0; p < count; ++p) sum += static_cast<double>(a[p]) * b[p];
  return sum;
}

}  // namespace tvt
