// Host side of a launch.
#pragma once

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cstdint>

#include "queue.h"

namespace tvt::cuda {

// The driver's functions that tell and set the context that is current on the calling thread, null where none is. The
// runtime has loaded the driver by its first successful call; no binary of ours needs it to load.
struct ContextFunctions {
  using Get = int (*)(void**);
  using Set = int (*)(void*);
  Get get = nullptr;
  Set set = nullptr;

  ContextFunctions() {
    void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (driver == nullptr) return;
    get = reinterpret_cast<Get>(dlsym(driver, "cuCtxGetCurrent"));
    set = reinterpret_cast<Set>(dlsym(driver, "cuCtxSetCurrent"));
  }
};

// Makes a device current. The runtime is linked statically and shares only the driver's context with that of PyTorch,
// so the device is never taken for granted. What is restored is the context: cudaSetDevice would make one on the device
// before, where a thread that never used that device has none.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : status_(cudaGetDevice(&previous_)) {
    if (status_ != cudaSuccess) return;
    static const ContextFunctions functions;
    known_ = functions.get != nullptr && functions.set != nullptr && functions.get(&context_) == 0;
    set_ = functions.set;
    // A thread without a context has one after its first launch, so there the device is set all the same.
    const bool without_context = known_ && context_ == nullptr;
    if (previous_ == device && !without_context) return;
    status_ = cudaSetDevice(device);
    changed_ = status_ == cudaSuccess;
  }
  ~DeviceGuard() {
    if (!changed_) return;
    if (known_) {
      set_(context_);
    } else {
      cudaSetDevice(previous_);
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

  bool ok() const { return status_ == cudaSuccess; }

 private:
  int previous_ = 0;
  cudaError_t status_;
  void* context_ = nullptr;
  ContextFunctions::Set set_ = nullptr;
  bool known_ = false;
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
