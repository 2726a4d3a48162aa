// Calls of operators on a CUDA device. Every pointer is one of device memory, and every call only queues work: inputs
// must stay valid, and outputs are complete, in the order of the stream.
#pragma once

#include <cstdint>
#include <string>

namespace tvt::cuda {

// Where a call runs. The current device of the calling thread is restored afterwards.
struct Queue {
  int device;
  std::uintptr_t stream;
};

// A cudaError_t; 0 is success.
using Error = int;

// Whether the driver can run these kernels on a device.
Error probe(int device);

std::string describe(Error error);
std::string toolkit_version();  // such as "13.0"
std::string architectures();    // such as "sm_80, sm_90"

}  // namespace tvt::cuda
