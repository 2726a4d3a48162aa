// CUDA C++ for a CPU: what csrc/cuda uses of the language and of its runtime; scheduler.cpp runs it. A construct that
// is missing here does not compile.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__
#define __launch_bounds__(...)
#define __builtin_assume(condition)
#define __CUDA_ARCH_LIST__ 0
#define CUDART_VERSION 0

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint4 make_uint4(std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint32_t w) { return {x, y, z, w}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidConfiguration = 9, cudaErrorLaunchFailure = 719 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };
struct cudaFuncAttributes {};
using cudaStream_t = struct CUstream_st*;

cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)());
cudaError_t cudaGetLastError();
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);

namespace emulated {

// Number of the deliberate fault that is at work, of those that faults.py plants; -1 is none.
extern int fault;

struct Place {
  dim3 thread, block, block_size, grid;
};
const Place& place();

// The arguments of <<<...>>>.
struct Configuration {
  dim3 grid, block;
  std::size_t shared_bytes;
  cudaStream_t stream;
};
void run(const Configuration& configuration, void (*thread)(const void*), const void* arguments);

template <typename Thread>
void launch(const Configuration& configuration, const Thread& thread) {
  run(configuration, [](const void* arguments) { (*static_cast<const Thread*>(arguments))(); }, &thread);
}

// Shared memory of the block for the declaration that `site` stands for; null is the dynamic part.
void* shared_memory(const void* site, std::size_t bytes);

template <typename T, typename Declaration>
T& shared(Declaration) {
  static char site;
  return *static_cast<T*>(shared_memory(&site, sizeof(T)));
}

// What the lane `distance` away, in the sense of an exclusive or, brings; all lanes of the warp meet.
std::uint64_t exchange(unsigned mask, std::uint64_t value, int distance);

}  // namespace emulated

#define threadIdx (::emulated::place().thread)
#define blockIdx (::emulated::place().block)
#define gridDim (::emulated::place().grid)

void __syncthreads();

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int distance) {
  std::uint64_t bits = 0;
  static_assert(sizeof value <= sizeof bits, "a lane brings at most 64 bits");
  std::memcpy(&bits, &value, sizeof value);
  bits = emulated::exchange(mask, bits, distance);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
