// One head of attention, as the kernels of every instruction set see it.
#pragma once

#include <cstdint>

#include "dtype.h"
#include "target.h"
#include "vector_set.h"

namespace tvt {

// A tile is up to kTileVectors vectors of queries, one query per lane.
constexpr std::int64_t kTileVectors = 3;
constexpr std::int64_t kMaxLanes = 16;

inline std::int64_t divide_up(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }
inline std::int64_t round_up(std::int64_t value, std::int64_t to) {
  return divide_up(value, to) * to;
}

struct AttentionHead {
  const void* q;
  const void* k;
  const void* v;
  void* out;
  DType dtype;
  std::int64_t row_stride, out_stride;  // elements
  std::int64_t tokens, dim;             // at least 1
  double scale;
  std::int64_t part, parts;  // of the tiles, parts of about equal size; computes one of them
  float* scratch;            // AttentionScratch::floats of them, at a multiple of 64 bytes
};

// Offsets of what a thread packs and computes for a head and a tile, in pieces of whole cache lines.
struct AttentionScratch {
  AttentionScratch(std::int64_t tokens, std::int64_t dim) {
    const std::int64_t rows = round_up(tokens, kMaxLanes), columns = round_up(dim, kMaxLanes);
    const std::int64_t tile = kTileVectors * kMaxLanes;
    values = keys + rows * columns;
    queries = values + rows * columns;
    mixed = queries + columns * tile;
    scores = mixed + columns * tile;
    floats = scores + rows * tile;
  }

  std::int64_t keys = 0, values, queries, mixed, scores, floats;
};

using AttentionKernel = void (*)(const AttentionHead&);

// The one for an instruction set, which must not come before vector_set().
AttentionKernel attention_kernel_for(VectorSet set, DType dtype);

#if TVT_HAS_CLONES
void attention_avx2(const AttentionHead& head);
void attention_avx512(const AttentionHead& head);
void attention_avx512_bf16(const AttentionHead& head);  // dtype bf16 only
#endif

}  // namespace tvt
