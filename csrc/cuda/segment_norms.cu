#include <cuda_runtime.h>

#include <cstdint>

#include "launch.cuh"
#include "packet.cuh"
#include "reduce.cuh"
#include "segment_norms_cuda.h"

namespace tvt::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kLoads = 4;  // loads a lane has in flight

__device__ double square(double value) { return value * value; }

// A lane's share of the sum of squares of n elements: what lies before the first and after the last aligned packet
// element by element, the rest 16 bytes at a time. The square of an fp32 value is exact in fp64.
template <typename T>
__device__ double lane_squares(const T* x, int n, int lane) {
  constexpr int kPacket = kPacketBytes / sizeof(T);
  __builtin_assume(__isGlobal(x));  // an address read from memory says nothing of its space
  const auto misaligned = static_cast<int>(reinterpret_cast<std::uintptr_t>(x) % kPacketBytes);
  const int head = min((kPacketBytes - misaligned) % kPacketBytes / static_cast<int>(sizeof(T)), n);
  const int packets = (n - head) / kPacket;
  const int tail = head + packets * kPacket;

  double sum = 0;
  if (lane < head) sum += square(widen(x[lane]));
  if (tail + lane < n) sum += square(widen(x[tail + lane]));
  const T* body = x + head;
  for (int first = lane; first < packets; first += kWarp * kLoads) {
    Packet<T, kPacket> packet[kLoads] = {};
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      const int at = first + l * kWarp;
      if (at < packets) packet[l] = load_packet<kPacket>(body + at * kPacket);
    }
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
#pragma unroll
      for (int i = 0; i < kPacket; ++i) sum += square(widen(packet[l].value[i]));
    }
  }
  return sum;
}

__device__ double lane_squares(std::int64_t address, DType dtype, std::int64_t begin, int n, int lane) {
  switch (dtype) {
    case DType::f32:
      return lane_squares(reinterpret_cast<const float*>(address) + begin, n, lane);
    case DType::f16:
      return lane_squares(reinterpret_cast<const __half*>(address) + begin, n, lane);
    case DType::bf16:
      return lane_squares(reinterpret_cast<const __nv_bfloat16*>(address) + begin, n, lane);
  }
  return 0;
}

// One warp per chunk.
__global__ void __launch_bounds__(kThreads) chunk_kernel(Segments segments, double* sums) {
  const std::int64_t chunk = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (chunk >= segments.chunks) return;
  const std::int64_t k = segments.segment_of[chunk];
  const std::int64_t begin = (chunk - segments.first[k]) * kChunk;
  const auto count = static_cast<int>(min(kChunk, segments.lengths[k] - begin));
  const auto dtype = static_cast<DType>(segments.dtypes[k]);
  const double sum = lane_sum(lane_squares(segments.addresses[k], dtype, begin, count, lane));
  if (lane == 0) sums[chunk] = sum;
}

// One warp per segment.
__global__ void __launch_bounds__(kThreads)
    finish_kernel(Segments segments, const double* sums, float* norms) {
  const std::int64_t k = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (k >= segments.segments) return;
  const std::int64_t end = segments.first[k + 1];
  double sum = 0;
#pragma unroll 4
  for (std::int64_t chunk = segments.first[k] + lane; chunk < end; chunk += kWarp) {
    sum += sums[chunk];
  }
  sum = lane_sum(sum);
  if (lane == 0) norms[k] = static_cast<float>(sqrt(sum));
}

unsigned blocks_for(std::int64_t warps) {
  return static_cast<unsigned>(ceil_div<std::int64_t>(warps, kWarps));
}

}  // namespace

Error segment_norms(const Queue& queue, const Segments& segments, double* scratch, float* norms) {
  return on_device(queue, [&](cudaStream_t stream) {
    if (segments.segments == 0) return;
    if (segments.chunks > 0) {
      chunk_kernel<<<blocks_for(segments.chunks), kThreads, 0, stream>>>(segments, scratch);
    }
    finish_kernel<<<blocks_for(segments.segments), kThreads, 0, stream>>>(segments, scratch, norms);
  });
}

}  // namespace tvt::cuda
