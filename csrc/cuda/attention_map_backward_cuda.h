// attention_map_backward on a CUDA device.
#pragma once

#include "attention_map.h"
#include "queue.h"

namespace tvt::cuda {

// As tvt::attention_map_backward, with device pointers.
Error attention_map_backward(const Queue& queue, const Features& x, const MapGradient& gradient);

}  // namespace tvt::cuda
