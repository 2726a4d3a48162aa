// Element types on the device, and aligned groups of elements that move in one access.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "dtype.h"

namespace tvt::cuda {

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__half value) { return __half2float(value); }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

// Round to nearest, ties to even.
template <typename T>
__device__ T narrow(float value);
template <>
__device__ inline float narrow<float>(float value) {
  return value;
}
template <>
__device__ inline __half narrow<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ inline __nv_bfloat16 narrow<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

constexpr int kPacketBytes = 16;

template <typename T, int N>
struct alignas(sizeof(T) * N) Packet {
  T value[N];
};

// p must be aligned to the packet.
template <int N, typename T>
__device__ Packet<T, N> load_packet(const T* p) {
  return *reinterpret_cast<const Packet<T, N>*>(p);
}

template <typename T, int N>
__device__ void store_packet(T* p, const Packet<T, N>& packet) {
  *reinterpret_cast<Packet<T, N>*>(p) = packet;
}

// Calls body(T{}) with the element type of a code; false where the code is unknown.
template <typename Body>
bool with_dtype(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f32:
      body(float{});
      return true;
    case DType::f16:
      body(__half{});
      return true;
    case DType::bf16:
      body(__nv_bfloat16{});
      return true;
  }
  return false;
}

}  // namespace tvt::cuda
