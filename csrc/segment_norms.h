// L2 norms of many contiguous segments.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// norms[k] = sqrt(sum of squares of segment k), for n segments.
//   addresses[n], lengths[n]   first element and number of elements
//   dtypes[n]                  values of DType
// Sums are fp64 over chunks of fixed length: the result does not depend on `threads`.
Status segment_norms(const std::int64_t* addresses, const std::int64_t* lengths,
                     const std::int64_t* dtypes, std::int64_t n, float* norms, int threads);

}  // namespace tvt
