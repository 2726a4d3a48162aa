// attention_map on a CUDA device.
#pragma once

#include <cstdint>

#include "attention_map.h"
#include "queue.h"

namespace tvt::cuda {

// Number of doubles attention_map needs as scratch; 0 where shared memory is enough.
Error attention_map_scratch(const Queue& queue, const Features& x, std::int64_t& elements);

// As tvt::attention_map, with device pointers. The bits do not depend on the device or on the use of scratch.
Error attention_map(const Queue& queue, const Features& x, const MapOutputs& out, double* scratch);

}  // namespace tvt::cuda
