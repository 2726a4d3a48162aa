// Host side of a launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "queue.h"

namespace tvt::cuda {

// Makes a device current. The runtime is linked statically and shares only the driver's context with that of PyTorch,
// so the device is never taken for granted.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : status_(cudaGetDevice(&previous_)) {
    if (status_ != cudaSuccess || previous_ == device) return;
    status_ = cudaSetDevice(device);
    changed_ = status_ == cudaSuccess;
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

  bool ok() const { return status_ == cudaSuccess; }

 private:
  int previous_ = 0;
  cudaError_t status_;
  bool changed_ = false;
};

// Calls body(stream) with the device of the queue current; returns the first error since, and clears it.
template <typename Body>
Error on_device(const Queue& queue, const Body& body) {
  const DeviceGuard guard(queue.device);
  if (guard.ok()) body(reinterpret_cast<cudaStream_t>(queue.stream));
  return cudaGetLastError();
}

template <typename T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace tvt::cuda
