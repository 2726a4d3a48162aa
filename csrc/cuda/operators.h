// Operators on a CUDA device, as the bindings call them. Every pointer is one of device memory, and every call only
// queues work: inputs must stay valid, and outputs are complete, in the order of the stream.
#pragma once

#include <cstdint>
#include <string>

#include "attention_map.h"
#include "indexed.h"

namespace tvt::cuda {

// Where a call runs. The current device of the calling thread is restored afterwards.
struct Queue {
  int device;
  std::uintptr_t stream;
};

// A cudaError_t; 0 is success.
using Error = int;

constexpr std::int64_t kChunk = 4096;  // elements of a segment that one warp sums

// Segments cut into chunks of kChunk elements; chunks are numbered segment by segment.
struct Segments {
  const std::int64_t* addresses;   // [segments]
  const std::int64_t* lengths;     // [segments], in elements
  const std::int64_t* dtypes;      // [segments], values of DType
  const std::int64_t* first;       // [segments + 1], first chunk of each segment
  const std::int64_t* segment_of;  // [chunks]
  std::int64_t segments, chunks;
};

// norms[k] = sqrt(sum of squares of segment k); sums are fp64 in a fixed order. scratch: [chunks].
Error segment_norms(const Queue& queue, const Segments& segments, double* scratch, float* norms);

// Number of doubles attention_map needs as scratch; 0 where shared memory is enough.
Error attention_map_scratch(const Queue& queue, const Features& x, std::int64_t& elements);

// As tvt::attention_map, with device pointers. The bits do not depend on the device or on the use of scratch.
Error attention_map(const Queue& queue, const Features& x, const MapOutputs& out, double* scratch);

// As tvt::attention_map_backward, with device pointers.
Error attention_map_backward(const Queue& queue, const Features& x, const MapGradient& gradient);

// As tvt::indexed_normal and tvt::indexed_uniform, with the same bits.
Error indexed_normal(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                     float shift);
Error indexed_uniform(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                      float shift);

// Whether the driver can run these kernels on a device.
Error probe(int device);

std::string describe(Error error);
std::string toolkit_version();  // such as "13.0"
std::string architectures();    // such as "sm_80, sm_90"

}  // namespace tvt::cuda
