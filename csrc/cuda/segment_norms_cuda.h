// segment_norms on a CUDA device.
#pragma once

#include <cstdint>

#include "queue.h"

namespace tvt::cuda {

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

}  // namespace tvt::cuda
