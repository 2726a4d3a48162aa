// Tiles of AMX in software, in place of the compiler's header: what csrc/amx_tiles.h uses of it, as Intel's manual
// (volume 2, instruction set reference) has it. What would fault on a CPU is reported and not done.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

namespace emulated {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;  // palette 1

inline int fault = -1;                             // the planted fault that is at work
inline std::atomic<const char*> error{nullptr};    // the first that a CPU would have raised
inline std::atomic<int> configured{0};             // threads that hold tiles
inline std::atomic<std::int64_t> products{0};

struct Tile {
  int rows, bytes;
  std::uint8_t data[kRows][kRowBytes];

  float* floats(int row) { return reinterpret_cast<float*>(data[row]); }
};

struct State {
  bool loaded = false;
  alignas(64) Tile tiles[kTiles];
};

inline thread_local State state;

inline void raise(const char* what) {
  const char* none = nullptr;
  error.compare_exchange_strong(none, what);
}

inline bool usable(std::initializer_list<int> numbers) {
  if (!state.loaded) return raise("#UD: tiles are not configured"), false;
  for (int number : numbers) {
    if (state.tiles[number].rows == 0) return raise("#UD: a tile is not configured"), false;
  }
  return true;
}

inline void release() {
  if (state.loaded) --configured;
  state = State{};
}

// LDTILECFG: all tiles are zeroed.
inline void load_config(const void* memory) {
  std::uint8_t config[64];
  std::memcpy(config, memory, sizeof config);
  if (config[0] == 0) return release();
  if (config[0] != 1 || config[1] != 0) return raise("#GP: palette or row to start from");
  for (int i = 2; i < 64; ++i) {
    const bool shape = (i >= 16 && i < 32) || (i >= 48 && i < 56);
    if (!shape && config[i] != 0) return raise("#GP: a reserved byte of the configuration");
  }
  if (!state.loaded) ++configured;
  state = State{};
  state.loaded = true;
  for (int i = 0; i < kTiles; ++i) {
    Tile& tile = state.tiles[i];
    tile.bytes = config[16 + 2 * i] + 256 * config[17 + 2 * i];
    tile.rows = config[48 + i];
    if (tile.bytes > kRowBytes || tile.rows > kRows || (tile.bytes == 0) != (tile.rows == 0)) {
      release();
      return raise("#GP: the size of a tile");
    }
  }
}

inline void zero(int number) {
  if (usable({number})) std::memset(state.tiles[number].data, 0, sizeof(Tile::data));
}

// TILELOADD
inline void load(int number, const void* base, long stride) {
  if (!usable({number})) return;
  Tile& tile = state.tiles[number];
  std::memset(tile.data, 0, sizeof tile.data);
  for (int row = 0; row < tile.rows; ++row) {
    std::memcpy(tile.data[row], static_cast<const char*>(base) + row * stride, tile.bytes);
  }
}

// TILESTORED
inline void store(int number, void* base, long stride) {
  if (!usable({number})) return;
  const Tile& tile = state.tiles[number];
  for (int row = 0; row < tile.rows; ++row) {
    std::memcpy(static_cast<char*>(base) + row * stride, tile.data[row], tile.bytes);
  }
}

// bf16 as fp32; subnormal numbers are zero.
inline double value_of(std::uint16_t bf16) {
  const std::uint32_t bits = (bf16 & 0x7f80u) == 0 ? (bf16 & 0x8000u) << 16 : bf16 << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// To the nearest fp32, ties to even; what is subnormal after that is zero. `exact` has been rounded to fp64, which does
// not change the result: fp64 has more than twice the digits.
inline float rounded(double exact) {
  return std::fabs(exact) < 0x1p-126 - 0x1p-151 ? std::copysign(0.0f, static_cast<float>(exact))
                                                : static_cast<float>(exact);
}

// TDPBF16PS: even and odd products are summed apart, then added, then added to what was there.
inline void multiply(int sum, int left, int right) {
  if (!usable({sum, left, right})) return;
  Tile &c = state.tiles[sum], &a = state.tiles[left], &b = state.tiles[right];
  if (sum == left || sum == right || left == right) return raise("#UD: a tile is named twice");
  if (c.rows != a.rows || c.bytes != b.bytes || a.bytes != 4 * b.rows) {
    return raise("#UD: sizes of tiles do not match");
  }
  ++products;
  const int pairs = a.bytes / 4, columns = c.bytes / 4;
  double factors[kRows][kRowBytes / 2];
  for (int k = 0; k < pairs; ++k) {
    for (int n = 0; n < 2 * columns; ++n) {
      factors[k][n] = value_of(reinterpret_cast<const std::uint16_t*>(b.data[k])[n]);
    }
  }
  for (int m = 0; m < c.rows; ++m) {
    float parts[kRowBytes / 2] = {};
    for (int k = 0; k < pairs; ++k) {
      const std::uint16_t* const pair = reinterpret_cast<const std::uint16_t*>(a.data[m]) + 2 * k;
      const double even = value_of(pair[0]), odd = value_of(pair[1]);
      for (int n = 0; n < columns; ++n) {
        parts[2 * n] = rounded(parts[2 * n] + even * factors[k][2 * n]);
        parts[2 * n + 1] = rounded(parts[2 * n + 1] + odd * factors[k][2 * n + 1]);
      }
    }
    for (int n = 0; n < columns; ++n) {
      const double both = rounded(double{parts[2 * n]} + parts[2 * n + 1]);
      c.floats(m)[n] = rounded(both + c.floats(m)[n]);
    }
  }
}

}  // namespace emulated

#define _tile_loadconfig(config) ::emulated::load_config(config)
#define _tile_release() ::emulated::release()
#define _tile_zero(tile) ::emulated::zero(tile)
#define _tile_loadd(tile, base, stride) ::emulated::load(tile, base, stride)
#define _tile_stored(tile, base, stride) ::emulated::store(tile, base, stride)
#define _tile_dpbf16ps(sum, left, right) ::emulated::multiply(sum, left, right)
