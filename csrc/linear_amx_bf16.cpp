// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <type_traits>

#include "linear_kernels.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16")
#include "amx_tiles.h"
#include "linear_tiles.h"
#include "vectors_avx512_bf16.h"

namespace tvt {
namespace {

// The product in tiles: two of rows by two of outputs.
struct InTiles : BFloat16Pair {
  using Factor = BFloat16;
  using State = TileState;
  static constexpr std::int64_t kVectors = 2;
  static constexpr std::int64_t kBlock = 2 * kTileRows;
  static constexpr std::int64_t kSteps = kTileWords;

  template <int N>
  static TVT_INLINE void multiply(const BFloat16* a, std::int64_t stride, const float* b,
                                  std::int64_t steps, std::int64_t rows,
                                  Vector (&sum)[kBlock][N]) {
    float* const out = reinterpret_cast<float*>(sum);
    if (rows > kTileRows) {
      multiply_tiles<2, N>(a, stride, b, steps, out, N * kTileWords);
    } else {
      multiply_tiles<1, N>(a, stride, b, steps, out, N * kTileWords);
    }
  }
};

}  // namespace

LinearKernel linear_amx_bf16() { return linear_kernel<InTiles>(); }

}  // namespace tvt
#endif
