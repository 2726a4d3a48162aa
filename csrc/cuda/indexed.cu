// Compiled with -fmad=false: see csrc/box_muller.h.

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>

#include "box_muller.h"
#include "indexed_cuda.h"
#include "launch.cuh"

namespace tvt::cuda {
namespace {

constexpr int kThreads = 256;

struct Normal {
  static __device__ float4 numbers(const uint4& word) {
    float4 z;
    box_muller(word.x, word.y, z.x, z.y);
    box_muller(word.z, word.w, z.z, z.w);
    return z;
  }
};

struct Uniform {
  static __device__ float4 numbers(const uint4& word) {
    return make_float4(unit_uniform(word.x), unit_uniform(word.y), unit_uniform(word.z),
                       unit_uniform(word.w));
  }
};

__device__ uint4 philox(uint4 counter, std::uint64_t key) {
  auto k0 = static_cast<std::uint32_t>(key);
  auto k1 = static_cast<std::uint32_t>(key >> 32);
#pragma unroll
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kPhiloxMultiplier0} * counter.x;
    const std::uint64_t product1 = std::uint64_t{kPhiloxMultiplier1} * counter.z;
    counter = make_uint4(static_cast<std::uint32_t>(product1 >> 32) ^ counter.y ^ k0,
                         static_cast<std::uint32_t>(product1),
                         static_cast<std::uint32_t>(product0 >> 32) ^ counter.w ^ k1,
                         static_cast<std::uint32_t>(product0));
    k0 += kPhiloxKeyStep0;
    k1 += kPhiloxKeyStep1;
  }
  return counter;
}

// One thread per Philox call, which makes four neighbours along the last axis. Index is 32 bits wide where that is
// enough: three divisions per call are much of the work.
template <typename Distribution, typename Index>
__global__ void __launch_bounds__(kThreads)
    fill_kernel(Filled filled, std::uint64_t key, float scale, float shift, Index calls) {
  const Index call = static_cast<Index>(blockIdx.x) * kThreads + threadIdx.x;
  if (call >= calls) return;
  const std::int64_t last = filled.shape[3];
  const auto blocks = static_cast<Index>((last + 3) / 4);
  const auto size2 = static_cast<Index>(filled.shape[2]);
  const auto size1 = static_cast<Index>(filled.shape[1]);
  const Index row = call / blocks;
  const Index block = call - row * blocks;
  const Index outer = row / size2;
  const Index i2 = row - outer * size2;
  const Index i0 = outer / size1;
  const Index i1 = outer - i0 * size1;
  const uint4 words = philox(make_uint4(static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(i2),
                                        static_cast<std::uint32_t>(i1), static_cast<std::uint32_t>(i0)),
                             key);
  float4 value = Distribution::numbers(words);
  value.x = value.x * scale + shift;
  value.y = value.y * scale + shift;
  value.z = value.z * scale + shift;
  value.w = value.w * scale + shift;

  const std::int64_t begin = 4 * static_cast<std::int64_t>(block);
  float* out = filled.out + static_cast<std::int64_t>(row) * last + begin;
  if (begin + 4 <= last && reinterpret_cast<std::uintptr_t>(out) % sizeof(float4) == 0) {
    *reinterpret_cast<float4*>(out) = value;
    return;
  }
  const std::int64_t count = min(last - begin, std::int64_t{4});
  out[0] = value.x;
  if (count > 1) out[1] = value.y;
  if (count > 2) out[2] = value.z;
  if (count > 3) out[3] = value.w;
}

template <typename Distribution>
Error fill(const Queue& queue, const Filled& filled, std::uint64_t key, float scale, float shift) {
  const std::int64_t blocks = ceil_div<std::int64_t>(filled.shape[3], 4);
  const std::int64_t calls = filled.shape[0] * filled.shape[1] * filled.shape[2] * blocks;
  return on_device(queue, [&](cudaStream_t stream) {
    if (calls == 0) return;
    const auto grid = static_cast<unsigned>(ceil_div<std::int64_t>(calls, kThreads));
    if (calls <= std::numeric_limits<std::int32_t>::max()) {
      fill_kernel<Distribution><<<grid, kThreads, 0, stream>>>(filled, key, scale, shift,
                                                               static_cast<std::uint32_t>(calls));
    } else {
      fill_kernel<Distribution><<<grid, kThreads, 0, stream>>>(filled, key, scale, shift,
                                                               static_cast<std::uint64_t>(calls));
    }
  });
}

}  // namespace

Error indexed_normal(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                     float shift) {
  return fill<Normal>(queue, filled, key, scale, shift);
}

Error indexed_uniform(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                      float shift) {
  return fill<Uniform>(queue, filled, key, scale, shift);
}

}  // namespace tvt::cuda
