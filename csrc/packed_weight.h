// The weight of a linear layer as its kernel reads it, for operators that are made of linear layers.
#pragma once

#include <cstdint>

#include "aligned_floats.h"
#include "linear_kernels.h"

namespace tvt {

class PackedWeight {
 public:
  // Of `task`, of which only the weight is read.
  PackedWeight(const LinearKernel& kernel, const Linear& task, int threads);

  const float* data() const { return panels_.data(); }

 private:
  AlignedFloats panels_;
};

// Room that multiply() needs for rows of tasks like this.
std::int64_t tile_floats(const LinearKernel& kernel, const Linear& task);

// Rows [first, last) of a task, a tile at a time, by the thread that calls it; `tile` starts at a multiple of 64 bytes.
void multiply(const LinearKernel& kernel, const Linear& task, std::int64_t first, std::int64_t last,
              const PackedWeight& weight, float* tile);

// The task of rows [first, last) alone; what is null stays null.
Linear rows_of(const Linear& task, std::int64_t first, std::int64_t last);

}  // namespace tvt
