// Two ways through one kernel. Where images alone fill the device, a block takes a whole image: sums stay in shared
// memory, and norm, map and distance follow in the same launch. Otherwise several blocks share an image, sums go to
// scratch, and a second launch finishes. Each sum is computed alike in both, so the bits are the same.

#include <cuda_runtime.h>

#include <cstdint>

#include "attention_map_cuda.h"
#include "features.cuh"

namespace tvt::cuda {
namespace {

constexpr int kLoads = 4;               // loads a lane has in flight
constexpr int kSharedPositions = 2048;  // sums that fit into shared memory beside the rest
constexpr std::int64_t kSmallImage = 1 << 16;  // elements a block sums faster than a second launch starts

// N channels at one position of the map, resized on the way if need be.
template <typename T, int N, bool kResized>
struct Position {
  const T* corner[kResized ? 4 : 1];
  float weight[kResized ? 4 : 1];

  __device__ Position(const View<T>& x, const T* image, int position) {
    if constexpr (kResized) {
      const int row = position / x.columns.out;
      const Tap rows = x.rows.tap(row);
      const Tap columns = x.columns.tap(position - row * x.columns.out);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        corner[k] = image + x.offset(k / 2 ? rows.high : rows.low, k % 2 ? columns.high : columns.low);
        weight[k] = (k / 2 ? rows.weight : 1 - rows.weight) *
                    (k % 2 ? columns.weight : 1 - columns.weight);
      }
    } else {
      corner[0] = image + x.offset(position);
      weight[0] = 1;
    }
  }

  __device__ void load(std::int64_t offset, float (&value)[N]) const {
    if constexpr (kResized) {
      Packet<T, N> packet[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) packet[k] = load_packet<N>(corner[k] + offset);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        value[i] = (weight[0] * widen(packet[0].value[i]) + weight[1] * widen(packet[1].value[i])) +
                   (weight[2] * widen(packet[2].value[i]) + weight[3] * widen(packet[3].value[i]));
      }
    } else {
      const Packet<T, N> packet = load_packet<N>(corner[0] + offset);
#pragma unroll
      for (int i = 0; i < N; ++i) value[i] = widen(packet.value[i]);
    }
  }
};

// sums[p] of the positions of this block, channels adjacent: groups of `lanes` lanes take one position each.
template <typename T, int N, bool kResized>
__device__ void add_squares_channels(const View<T>& x, const T* image, int lanes, double* sums) {
  const int groups = kMapThreads / lanes;
  const int group = threadIdx.x / lanes;
  const int lane = threadIdx.x % lanes;
  const int positions = x.out_positions();
  // All lanes stay in the loop: the sum over a group is one of whole warps.
  for (int begin = blockIdx.y * groups; begin < positions; begin += gridDim.y * groups) {
    const int p = begin + group;
    const Position<T, N, kResized> position(x, image, min(p, positions - 1));
    const int channels = p < positions ? x.channels : 0;
    double sum = 0;
    for (int first = lane * N; first < channels; first += kLoads * lanes * N) {
      float value[kLoads][N] = {};
#pragma unroll
      for (int l = 0; l < kLoads; ++l) {
        const int c = first + l * lanes * N;
        if (c < channels) position.load(c, value[l]);
      }
      float run = 0;
#pragma unroll
      for (int l = 0; l < kLoads; ++l) {
#pragma unroll
        for (int i = 0; i < N; ++i) run += value[l][i] * value[l][i];
      }
      sum += run;
    }
    sum = lane_sum(sum, lanes);
    if (lane == 0 && p < positions) sums[p] = sum;
  }
}

// The same with positions adjacent: a lane takes N positions, and warps share the channels.
template <typename T, int N, bool kResized>
__device__ void add_squares_positions(const View<T>& x, const T* image, double* sums) {
  constexpr int kTile = kWarp * N;
  __shared__ double partial[kMapWarps][kTile];
  const int warp = threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  const int positions = x.out_positions();
  for (int begin = blockIdx.y * kTile; begin < positions; begin += gridDim.y * kTile) {
    const int p = begin + lane * N;
    double sum[N] = {};
    if (p < positions) {
      const Position<T, N, kResized> position(x, image, p);
      for (int first = warp; first < x.channels; first += kLoads * kMapWarps) {
        float value[kLoads][N] = {};
#pragma unroll
        for (int l = 0; l < kLoads; ++l) {
          const int c = first + l * kMapWarps;
          if (c < x.channels) position.load(c * x.channel_stride, value[l]);
        }
#pragma unroll
        for (int i = 0; i < N; ++i) {
          float run = 0;
#pragma unroll
          for (int l = 0; l < kLoads; ++l) run += value[l][i] * value[l][i];
          sum[i] += run;
        }
      }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) partial[warp][lane * N + i] = sum[i];
    __syncthreads();
    for (int i = threadIdx.x; i < min(kTile, positions - begin); i += kMapThreads) {
      double total = 0;
#pragma unroll
      for (int w = 0; w < kMapWarps; ++w) total += partial[w][i];
      sums[begin + i] = total;
    }
    __syncthreads();
  }
}

__device__ void finish_image(const MapOutputs& out, std::int64_t b, int positions, int channels,
                             const double* sums) {
  double squares = 0;
  for (int p = threadIdx.x; p < positions; p += kMapThreads) squares += sums[p] * sums[p];
  const double norm = sqrt(block_sum<kMapWarps>(squares)) / channels;
  const double scale = 1 / (floored(norm) * channels);
  if (threadIdx.x == 0) out.norm[b] = static_cast<float>(norm);
  float* map = out.map + b * positions;
  for (int p = threadIdx.x; p < positions; p += kMapThreads) {
    map[p] = static_cast<float>(sums[p] * scale);
  }
  if (out.teacher == nullptr) return;
  const float* teacher = out.teacher + b % out.teacher_rows * positions;
  double distance = 0;
  for (int p = threadIdx.x; p < positions; p += kMapThreads) {
    const double difference = teacher[p] - sums[p] * scale;
    distance += difference * difference;
  }
  distance = block_sum<kMapWarps>(distance);
  if (threadIdx.x == 0) out.distance[b] = static_cast<float>(distance / positions);
}

// Grid [images, blocks per image]. Without scratch, one block per image and shared memory for its sums.
template <typename T, int N, bool kChannels, bool kResized>
__global__ void __launch_bounds__(kMapThreads)
    map_kernel(View<T> x, MapOutputs out, double* scratch, int lanes) {
  extern __shared__ double shared_sums[];
  const std::int64_t b = blockIdx.x;
  const int positions = x.out_positions();
  double* sums = scratch == nullptr ? shared_sums : scratch + b * positions;
  if constexpr (kChannels) {
    add_squares_channels<T, N, kResized>(x, x.image(b), lanes, sums);
  } else {
    add_squares_positions<T, N, kResized>(x, x.image(b), sums);
  }
  if (scratch != nullptr) return;
  __syncthreads();
  finish_image(out, b, positions, x.channels, sums);
}

// Grid [images].
__global__ void __launch_bounds__(kMapThreads)
    finish_kernel(MapOutputs out, int positions, int channels, const double* scratch) {
  const std::int64_t b = blockIdx.x;
  finish_image(out, b, positions, channels, scratch + b * positions);
}

// Positions a block takes at a time where several share an image.
constexpr int kTilePositions = kWarp;

unsigned split(const Features& x) {
  const std::int64_t positions = x.out_height * x.out_width;
  if (positions * x.channels <= kSmallImage) return 1;
  return blocks_per_image(x.images, positions, kTilePositions);
}

}  // namespace

Error attention_map_scratch(const Queue& queue, const Features& x, std::int64_t& elements) {
  const std::int64_t positions = x.out_height * x.out_width;
  elements = 0;
  return on_device(queue, [&](cudaStream_t) {
    if (x.images == 0) return;
    if (positions > kSharedPositions || split(x) > 1) elements = x.images * positions;
  });
}

Error attention_map(const Queue& queue, const Features& x, const MapOutputs& out, double* scratch) {
  if (x.images == 0) return cudaSuccess;
  return with_view(x, nullptr, [&](auto view, auto width, auto channels, auto resized) {
    using T = typename decltype(view)::Element;
    constexpr int N = decltype(width)::value;
    const auto kernel = map_kernel<T, N, decltype(channels)::value, decltype(resized)::value>;
    const int positions = static_cast<int>(x.out_height * x.out_width);
    const int lanes = lanes_per_position(ceil_div(view.channels, N));
    return on_device(queue, [&](cudaStream_t stream) {
      const auto images = static_cast<unsigned>(x.images);
      if (scratch == nullptr) {
        kernel<<<images, kMapThreads, positions * sizeof(double), stream>>>(view, out, nullptr, lanes);
        return;
      }
      kernel<<<dim3(images, split(x)), kMapThreads, 0, stream>>>(view, out, scratch, lanes);
      finish_kernel<<<images, kMapThreads, 0, stream>>>(out, positions, view.channels, scratch);
    });
  });
}

}  // namespace tvt::cuda
