// The two parts of a linear layer, as the kernels of every instruction set see them. They hold no OpenMP region.
#pragma once

#include <cstdint>

#include "linear.h"
#include "target.h"

namespace tvt {

// Bytes of a row, rounded up to an odd number of cache lines: rows that far apart do not evict each other.
inline std::int64_t odd_lines(std::int64_t bytes) {
  return (((bytes + kCacheLine - 1) / kCacheLine) | 1) * kCacheLine;
}

struct LinearKernel {
  std::int64_t panel;                           // outputs in a panel of the weight
  std::int64_t (*panel_floats)(const Linear&);  // room that a packed panel takes
  std::int64_t (*tile_rows)(const Linear&);     // rows that are computed together
  std::int64_t (*tile_floats)(const Linear&);   // room for them
  void (*pack)(const Linear&, std::int64_t panel, float* packed);
  // Rows [first, last), at most a tile, from all panels in turn; both rooms start at a multiple of 64 bytes.
  void (*multiply)(const Linear&, std::int64_t first, std::int64_t last, const float* packed,
                   float* tile);
};

// The one for an instruction set, which the CPU must run (vector_set.h).
LinearKernel linear_kernel_for(VectorSet set, DType dtype);

#if TVT_HAS_CLONES
LinearKernel linear_avx2(DType dtype);
LinearKernel linear_avx512(DType dtype);
LinearKernel linear_avx512_bf16();  // dtype bf16 only
LinearKernel linear_amx_bf16();     // dtype bf16 only
#endif

}  // namespace tvt
