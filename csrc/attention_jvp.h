// softmax(scale q k^T) v of every head, and its tangent.
#pragma once

#include <cstdint>

#include "dtype.h"

namespace tvt {

// q, k, v and their tangents [images, heads, tokens, width], with strides in elements of images, heads and tokens; the
// width is adjacent. Results [images, tokens, heads, width] of the same type, contiguous.
struct DualHeads {
  const void* operands[6];
  std::int64_t strides[6][3];
  DType dtype;
  std::int64_t images, heads, tokens, width;
  double scale;
  void* out;
  void* tangent;
};

// Results do not depend on `threads`.
Status attention_jvp(const DualHeads& x, int threads);

}  // namespace tvt
