// Gradient of the features. With s the mean of squares, n its norm and a = s / max(n, floor):
// ds = (g - a (g . a)) / n above the floor, g / floor at it, and dx = (2 / C) R^T (ds . R x) with R the resize.
//
// R^T diag(ds) R couples a position to its eight neighbours and itself only, whatever the two sizes: an output touches
// two adjacent rows and columns. So a block first works out the nine weights of each of its positions, alike for all
// channels, and then reads features as a 3 x 3 stencil: nothing is added atomically, and the resized features are never
// formed. Without a resize the stencil is one weight.

#include <cuda_runtime.h>

#include <cstdint>

#include "attention_map_backward_cuda.h"
#include "features.cuh"

namespace tvt::cuda {
namespace {

constexpr int kStencil = 9;

// What the gradient of one image shares: ds_p times 2 / C.
class Scale {
 public:
  // All threads of the block must construct it.
  __device__ Scale(const MapGradient& gradient, std::int64_t b, int positions, int channels)
      : map_(gradient.map + b * positions), grad_map_(gradient.grad_map + b * positions) {
    double product = 0;
    for (int p = threadIdx.x; p < positions; p += kMapThreads) {
      product += static_cast<double>(grad_map_[p]) * map_[p];
    }
    const double norm = gradient.norm[b];
    product = block_sum<kMapWarps>(product);
    projection_ = norm <= kNormFloor ? 0 : product;
    factor_ = 2 / (floored(norm) * channels);
  }

  __device__ float operator()(int p) const {
    return static_cast<float>((grad_map_[p] - map_[p] * projection_) * factor_);
  }

 private:
  const float* map_;
  const float* grad_map_;
  double projection_;
  double factor_;
};

// Row and column of neighbour k of a position, held inside the image; its weight is zero where that moved it.
template <typename T>
struct Neighbour {
  int row;
  int column;
  bool inside;

  __device__ Neighbour(const View<T>& x, int at_row, int at_column, int k) {
    const int wanted_row = at_row + k / 3 - 1;
    const int wanted_column = at_column + k % 3 - 1;
    row = min(max(wanted_row, 0), x.rows.in - 1);
    column = min(max(wanted_column, 0), x.columns.in - 1);
    inside = row == wanted_row && column == wanted_column;
  }
};

// (R^T diag(ds) R)[p, neighbour k of p].
template <typename T>
__device__ float stencil_weight(const View<T>& x, const Scale& scale, int p, int k) {
  const int row = p / x.columns.in;
  const int column = p - row * x.columns.in;
  const Neighbour<T> other(x, row, column, k);
  if (!other.inside) return 0;
  float sum = 0;
  for (int r = x.rows.first(row); r < x.rows.last(row); ++r) {
    const Tap rows = x.rows.tap(r);
    const float row_weight = rows.of(row) * rows.of(other.row);
    if (row_weight == 0) continue;
    float line = 0;
    for (int c = x.columns.first(column); c < x.columns.last(column); ++c) {
      const Tap columns = x.columns.tap(c);
      const float weight = columns.of(column) * columns.of(other.column);
      if (weight != 0) line += weight * scale(r * x.columns.out + c);
    }
    sum += row_weight * line;
  }
  return sum;
}

// The gradient of N adjacent elements of one position, `offset` elements from its start.
template <typename T, int N, bool kResized>
struct Stencil {
  static constexpr int kTaps = kResized ? kStencil : 1;
  const T* at[kTaps];

  __device__ Stencil(const View<T>& x, const T* image, int p) {
    if constexpr (kResized) {
      const int row = p / x.columns.in;
      const int column = p - row * x.columns.in;
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
        const Neighbour<T> other(x, row, column, k);
        at[k] = image + x.offset(other.row, other.column);
      }
    } else {
      at[0] = image + x.offset(p);
    }
  }

  // weights[k * stride + i] belongs to tap k and, where each element has its own, to element i.
  template <bool kOwnWeights>
  __device__ Packet<T, N> gradient(std::int64_t offset, const float* weights, int stride) const {
    float sum[N] = {};
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      const Packet<T, N> packet = load_packet<N>(at[k] + offset);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        sum[i] += weights[k * stride + (kOwnWeights ? i : 0)] * widen(packet.value[i]);
      }
    }
    Packet<T, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.value[i] = narrow<T>(sum[i]);
    return result;
  }
};

// Positions a block takes at a time.
template <int N, bool kChannels>
constexpr int kTile = kChannels ? 2 * kWarp : kWarp * N;

// Grid [images, blocks per image]. The gradient is dense: [B, H, W, C] where channels are adjacent, else [B, C, H, W].
template <typename T, int N, bool kChannels, bool kResized>
__global__ void __launch_bounds__(kMapThreads)
    gradient_kernel(View<T> x, MapGradient gradient, int lanes) {
  constexpr int kCount = kTile<N, kChannels>;
  constexpr int kTaps = Stencil<T, N, kResized>::kTaps;
  __shared__ float weights[kTaps][kCount];
  const std::int64_t b = blockIdx.x;
  const T* image = x.image(b);
  const int positions = x.positions();
  const Scale scale(gradient, b, x.out_positions(), x.channels);
  T* grad = static_cast<T*>(gradient.grad) + b * positions * x.channels;

  for (int begin = blockIdx.y * kCount; begin < positions; begin += gridDim.y * kCount) {
    const int count = min(kCount, positions - begin);
    __syncthreads();  // the weights of the tile before may still be read
    for (int i = threadIdx.x; i < kTaps * count; i += kMapThreads) {
      const int k = i / count;
      const int p = i - k * count;
      if constexpr (kResized) {
        weights[k][p] = stencil_weight(x, scale, begin + p, k);
      } else {
        weights[k][p] = scale(begin + p);
      }
    }
    __syncthreads();
    if constexpr (kChannels) {
      for (int p = threadIdx.x / lanes; p < count; p += kMapThreads / lanes) {
        const Stencil<T, N, kResized> stencil(x, image, begin + p);
        T* out = grad + static_cast<std::int64_t>(begin + p) * x.channels;
#pragma unroll 2
        for (int c = threadIdx.x % lanes * N; c < x.channels; c += lanes * N) {
          store_packet(out + c, stencil.template gradient<false>(c, &weights[0][p], kCount));
        }
      }
    } else {
      const int p = threadIdx.x % kWarp * N;
      if (p < count) {
        // Nine loads of a resized element are in flight as it is; more need the stack on sm_100.
        constexpr int kUnroll = kResized ? 1 : 2;
        const Stencil<T, N, kResized> stencil(x, image, begin + p);
#pragma unroll kUnroll
        for (int c = threadIdx.x / kWarp; c < x.channels; c += kMapWarps) {
          store_packet(grad + static_cast<std::int64_t>(c) * positions + begin + p,
                       stencil.template gradient<true>(c * x.channel_stride, &weights[0][p], kCount));
        }
      }
    }
  }
}

}  // namespace

Error attention_map_backward(const Queue& queue, const Features& x, const MapGradient& gradient) {
  if (x.images == 0) return cudaSuccess;
  return with_view(x, gradient.grad, [&](auto view, auto width, auto channels, auto resized) {
    using T = typename decltype(view)::Element;
    constexpr int N = decltype(width)::value;
    constexpr bool kChannels = decltype(channels)::value;
    const auto kernel = gradient_kernel<T, N, kChannels, decltype(resized)::value>;
    const int lanes = lanes_per_position(ceil_div(view.channels, N));
    return on_device(queue, [&](cudaStream_t stream) {
      const dim3 grid(static_cast<unsigned>(x.images),
                      blocks_per_image(x.images, x.height * x.width, kTile<N, kChannels>));
      kernel<<<grid, kMapThreads, 0, stream>>>(view, gradient, lanes);
    });
  });
}

}  // namespace tvt::cuda
