// Kernels that show what the emulation does, most of them wrong on purpose.
#include <cuda_runtime.h>

namespace {

constexpr int kLimit = 48 << 10;
constexpr int kBeyond = kLimit + 1;

// The order in which threads run.
__global__ void order_kernel(int* numbers, int* next) { numbers[(*next)++] = blockIdx.x * 64 + threadIdx.x; }

// Every thread reads what its neighbour wrote.
__global__ void neighbour_kernel(float* out, bool barrier) {
  __shared__ float tile[64];
  tile[threadIdx.x] = threadIdx.x;
  if (barrier) __syncthreads();
  out[threadIdx.x] = tile[(threadIdx.x + 1) % 64];
}

// One warp waits for the other, of which one lane has left.
__global__ void divergent_kernel() {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x > 32) __shfl_xor_sync(0xffffffffu, 1.0, 1);
}

__global__ void overrun_kernel(int elements) {
  extern __shared__ double sums[];
  sums[elements] = 1;
}

template <int kBytes>
__global__ void large_kernel() {
  __shared__ char memory[kBytes];
  memory[0] = 0;
}

int error() { return cudaGetLastError(); }

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* message() { return cudaGetErrorString(cudaSuccess); }

extern "C" __attribute__((visibility("default"))) int order(int* numbers, int* next, int blocks) {
  order_kernel<<<blocks, 64, 0, nullptr>>>(numbers, next);
  return error();
}

extern "C" __attribute__((visibility("default"))) int neighbour(float* out, bool barrier) {
  neighbour_kernel<<<1, 64, 0, nullptr>>>(out, barrier);
  return error();
}

extern "C" __attribute__((visibility("default"))) int divergent() {
  divergent_kernel<<<1, 64, 0, nullptr>>>();
  return error();
}

extern "C" __attribute__((visibility("default"))) int overrun(int given, int used) {
  overrun_kernel<<<1, 1, given * sizeof(double), nullptr>>>(used);
  return error();
}

extern "C" __attribute__((visibility("default"))) int large(bool beyond) {
  if (beyond) {
    large_kernel<kBeyond><<<1, 1, 0, nullptr>>>();
  } else {
    large_kernel<kLimit><<<1, 1, 0, nullptr>>>();
  }
  return error();
}

extern "C" __attribute__((visibility("default"))) int grid(unsigned blocks, unsigned threads) {
  order_kernel<<<dim3(1, blocks), threads, 0, nullptr>>>(nullptr, nullptr);
  return error();
}
