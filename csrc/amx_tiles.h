// Products of bf16 in tiles, for files compiled for AMX. A tile is a register of kTileRows rows of 64 bytes, which are
// 32 values of bf16 or 16 of fp32.
//
// All tiles have their full size: who calls pads rows, inputs and outputs. Sums take four tiles, two of rows by two of
// columns, so that a tile that is loaded is used twice: a load takes half as long as a product.
#pragma once

#include <immintrin.h>

#include <atomic>
#include <cstdint>

#include "dtype.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kTileRows = 16;
constexpr std::int64_t kTileWords = 16;  // of 32 bits: a pair of bf16 values, or one of fp32

// The operand of LDTILECFG, Intel's manual, volume 2.
struct alignas(64) TileConfig {
  std::uint8_t palette, start_row, reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(TileConfig) == 64);

constexpr TileConfig kFullTiles = {
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Tiles of the calling thread, as long as it lives. Nothing of them is left behind: the operating system has nothing to
// save.
struct TileState {
  TileState() { _tile_loadconfig(&kFullTiles); }
  ~TileState() { _tile_release(); }
  TileState(const TileState&) = delete;
  TileState& operator=(const TileState&) = delete;
};

// out[i, j] = sum_k a[i, k] b[j, k] for M (1 or 2) tiles of rows by N (1 or 2) tiles of columns, over `steps` pairs k,
// a multiple of kTileWords. Rows of `a` hold bf16 values; `b` is packed as pairs b[k][j]. Strides are in elements. In
// fp32, even and odd products of a tile are summed apart, then added, then added to the tiles before.
template <int M, int N>
TVT_INLINE void multiply_tiles(const BFloat16* a, std::int64_t a_stride, const float* b,
                               std::int64_t steps, float* out, std::int64_t out_stride) {
  const std::int64_t a_bytes = a_stride * sizeof(BFloat16);
  const std::int64_t b_bytes = N * kTileWords * sizeof(float);
  const std::int64_t out_bytes = out_stride * sizeof(float);
  const BFloat16* const lower = a + kTileRows * a_stride;
  _tile_zero(0);
  if constexpr (N == 2) _tile_zero(1);
  if constexpr (M == 2) _tile_zero(2);
  if constexpr (M == 2 && N == 2) _tile_zero(3);
  // GCC does not know that tiles are loaded from memory, and may write there later.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  for (std::int64_t step = 0; step < steps; step += kTileWords, b += N * kTileWords * kTileRows) {
    _tile_loadd(4, a + 2 * step, a_bytes);
    _tile_loadd(6, b, b_bytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (N == 2) {
      _tile_loadd(7, b + kTileWords, b_bytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (M == 2) {
      _tile_loadd(5, lower + 2 * step, a_bytes);
      _tile_dpbf16ps(2, 5, 6);
    }
    if constexpr (M == 2 && N == 2) _tile_dpbf16ps(3, 5, 7);
  }
  float* const below = out + kTileRows * out_stride;
  _tile_stored(0, out, out_bytes);
  if constexpr (N == 2) _tile_stored(1, out + kTileWords, out_bytes);
  if constexpr (M == 2) _tile_stored(2, below, out_bytes);
  if constexpr (M == 2 && N == 2) _tile_stored(3, below + kTileWords, out_bytes);
}

}  // namespace
}  // namespace tvt
