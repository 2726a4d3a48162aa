// Features as the attention map kernels walk them, and the bilinear resize.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "attention_map.h"
#include "launch.cuh"
#include "packet.cuh"
#include "reduce.cuh"

namespace tvt::cuda {

constexpr int kMapWarps = 8;
constexpr int kMapThreads = kMapWarps * kWarp;
constexpr double kNormFloor = 1e-12;

// `!(norm <= floor)` lets a NaN through, to every position of its image.
__device__ inline double floored(double norm) { return !(norm <= kNormFloor) ? norm : kNormFloor; }

// One bilinear tap: the value is (1 - weight) * x[low] + weight * x[high].
struct Tap {
  int low;
  int high;
  float weight;

  // Weight of source coordinate `at`.
  __device__ float of(int at) const {
    return (at == low ? 1 - weight : 0.0f) + (at == high ? weight : 0.0f);
  }
};

// Bilinear resize of one axis, with half-pixel centres.
struct Axis {
  int in;
  int out;
  double scale;  // in / out

  __device__ Tap tap(int o) const {
    const double at = fmax(0.0, (o + 0.5) * scale - 0.5);
    const int low = min(static_cast<int>(at), in - 1);
    return {low, min(low + 1, in - 1), static_cast<float>(fmin(at - low, 1.0))};
  }

  // Limits of the outputs that may have a tap at source coordinate i, in [first, last).
  __device__ int first(int i) const { return max(static_cast<int>((i - 0.5) / scale - 0.5) - 1, 0); }
  __device__ int last(int i) const {
    return min(static_cast<int>((i + 1.5) / scale - 0.5) + 2, out);
  }
};

// Features [images, rows.in, columns.in, channels]; strides in elements, zero along axes of size 1. Without a resize,
// rows that follow each other at one stride are one row.
template <typename T>
struct View {
  using Element = T;

  const T* data;
  std::int64_t image_stride, row_stride, column_stride, channel_stride;
  std::int64_t images;
  Axis rows, columns;
  int channels;

  __device__ int positions() const { return rows.in * columns.in; }
  __device__ int out_positions() const { return rows.out * columns.out; }
  __device__ const T* image(std::int64_t b) const { return data + b * image_stride; }
  __device__ std::int64_t offset(int row, int column) const {
    return row * row_stride + column * column_stride;
  }
  __device__ std::int64_t offset(int position) const {
    const int row = position / columns.in;
    return offset(row, position - row * columns.in);
  }
};

inline bool channels_adjacent(const Features& x) { return x.stride[3] == 1; }

inline bool resized(const Features& x) {
  return x.out_height != x.height || x.out_width != x.width;
}

template <typename T>
View<T> make_view(const Features& x) {
  const auto axis = [](std::int64_t in, std::int64_t out) {
    return Axis{static_cast<int>(in), static_cast<int>(out),
                static_cast<double>(in) / static_cast<double>(out)};
  };
  const auto stride = [&](int axis, std::int64_t size) { return size > 1 ? x.stride[axis] : 0; };
  View<T> view{static_cast<const T*>(x.data), stride(0, x.images), stride(1, x.height),
               stride(2, x.width), stride(3, x.channels), x.images, axis(x.height, x.out_height),
               axis(x.width, x.out_width), static_cast<int>(x.channels)};
  const bool joined = x.height == 1 || x.width == 1 || x.stride[1] == x.width * x.stride[2];
  if (!resized(x) && joined) {
    const std::int64_t count = x.height * x.width;
    view.column_stride = x.width > 1 ? view.column_stride : view.row_stride;
    view.row_stride = 0;
    view.rows = axis(1, 1);
    view.columns = axis(count, count);
  }
  return view;
}

// Whether all runs of adjacent elements, and the gradient if there is one, can be walked in packets of N.
template <int N, typename T>
bool walks_in_packets(const View<T>& x, bool channels, const void* gradient) {
  const std::int64_t run = channels ? x.channels : x.columns.in;
  const std::int64_t other = channels ? x.column_stride : x.channel_stride;
  const auto aligned = [](const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % (N * sizeof(T)) == 0;
  };
  return run % N == 0 && other % N == 0 && x.row_stride % N == 0 && x.image_stride % N == 0 &&
         aligned(x.data) && aligned(gradient);
}

template <int N>
using Width = std::integral_constant<int, N>;

// Calls body(view, width, channels, resized) with the element type and, as integral constants, the number of elements
// per access, whether channels are adjacent, and whether the features are resized. cudaErrorInvalidValue for an unknown
// element type.
template <typename Body>
Error with_view(const Features& x, const void* gradient, const Body& body) {
  Error error = cudaErrorInvalidValue;
  with_dtype(x.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr int kWide = kPacketBytes / sizeof(T);
    const View<T> view = make_view<T>(x);
    const auto with_resize = [&](auto width, auto channels) {
      return resized(x) ? body(view, width, channels, std::true_type{})
                        : body(view, width, channels, std::false_type{});
    };
    if (channels_adjacent(x)) {
      error = walks_in_packets<kWide>(view, true, gradient)
                  ? with_resize(Width<kWide>{}, std::true_type{})
                  : with_resize(Width<1>{}, std::true_type{});
    } else if (resized(x)) {
      error = body(view, Width<1>{}, std::false_type{}, std::true_type{});
    } else if (walks_in_packets<kWide>(view, false, gradient)) {
      error = body(view, Width<kWide>{}, std::false_type{}, std::false_type{});
    } else if (walks_in_packets<kWide / 2>(view, false, gradient)) {
      error = body(view, Width<kWide / 2>{}, std::false_type{}, std::false_type{});
    } else {
      error = body(view, Width<1>{}, std::false_type{}, std::false_type{});
    }
  });
  return error;
}

// Lanes that share one position where channels are adjacent: a power of two that leaves each a few packets.
inline int lanes_per_position(int packets) {
  constexpr int kPacketsPerLane = 3;
  int lanes = 4;
  while (2 * lanes <= kWarp && 2 * lanes * kPacketsPerLane <= packets) lanes *= 2;
  return lanes;
}

// Blocks per image: enough in all to fill the device, at most one per `tile` positions.
inline unsigned blocks_per_image(std::int64_t images, std::int64_t positions, int tile) {
  constexpr std::int64_t kBlocksPerProcessor = 4;
  constexpr std::int64_t kMost = 1024;
  int device = 0;
  int processors = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const std::int64_t wanted = ceil_div(kBlocksPerProcessor * processors, images);
  return static_cast<unsigned>(
      std::clamp<std::int64_t>(std::min(wanted, ceil_div<std::int64_t>(positions, tile)), 1, kMost));
}

}  // namespace tvt::cuda
