// Random numbers keyed by (key, index): Philox 4x32-10, four neighbours along the last axis per call.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// Where the numbers go: a contiguous tensor of four dimensions.
struct Filled {
  float* out;
  std::int64_t shape[4];
};

// out[i0, i1, i2, j] = shift + scale * z, from lane j % 4 of Philox with counter (j / 4, i2, i1, i0).
// The bits are those of kernels/reference/indexed.py, whatever the machine and the number of threads: every step is
// one correctly rounded fp32 operation, so this file must be compiled without contraction of a * b + c.
Status indexed_normal(const Filled& filled, std::uint64_t key, float scale, float shift,
                      int threads);
Status indexed_uniform(const Filled& filled, std::uint64_t key, float scale, float shift,
                       int threads);

}  // namespace tvt
