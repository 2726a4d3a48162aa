// Sums over lanes and blocks in a fixed order.
#pragma once

#include <cstdint>

namespace tvt::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Sum over aligned groups of `width` lanes, a power of two; every lane of a group receives the same bits. All lanes of
// the warp must call it.
__device__ inline double lane_sum(double value, int width = kWarp) {
  for (int offset = width / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

// Sum over a block of kWarps warps; every thread receives the same bits. All threads must call it.
template <int kWarps>
__device__ double block_sum(double value) {
  __shared__ double warp_sums[kWarps];
  value = lane_sum(value);
  __syncthreads();  // an earlier call may still be reading
  if (threadIdx.x % kWarp == 0) warp_sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  double sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += warp_sums[warp];
  return sum;
}

}  // namespace tvt::cuda
