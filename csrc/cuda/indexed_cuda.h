// indexed_normal and indexed_uniform on a CUDA device.
#pragma once

#include <cstdint>

#include "indexed.h"
#include "queue.h"

namespace tvt::cuda {

// As tvt::indexed_normal and tvt::indexed_uniform, with the same bits.
Error indexed_normal(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                     float shift);
Error indexed_uniform(const Queue& queue, const Filled& filled, std::uint64_t key, float scale,
                      float shift);

}  // namespace tvt::cuda
