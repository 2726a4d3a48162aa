// Attention of one head in tiles of bf16, for files compiled for AMX.
//
// Queries are rows: their scores lie in a row, so do their probabilities, which are written over the scores and are the
// rows of the second product. Keys and values are packed once for a head, in panels of two tiles of columns, as
//   keys[panel][k][t]    pairs k of channels, kPanel keys t
//   values[panel][k][d]  pairs k of keys, kPanel channels d
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "amx_tiles.h"
#include "attention_head.h"
#include "vector_exp2.h"
#include "vectors_avx512_bf16.h"

namespace tvt {
namespace {

struct AttentionInTiles {
  using Isa = BFloat16Pair::Isa;
  using Vector = Isa::Vector;
  static constexpr std::int64_t kTile = 2 * kTileRows;    // queries
  static constexpr std::int64_t kPanel = 2 * kTileWords;  // columns
  static constexpr std::int64_t kPairs = 2 * kTileWords;  // values of bf16 in a row of a tile

  // Floats that a thread packs and computes for a head and a tile of queries, in whole cache lines.
  struct Scratch {
    Scratch(std::int64_t tokens, std::int64_t dim) {
      channel_steps = divide_up(dim, kPairs) * kTileWords;
      key_steps = divide_up(tokens, kPairs) * kTileWords;
      score_stride = (divide_up(tokens, kTileWords) | 1) * kTileWords;
      values = keys + round_up(tokens, kTileWords) * channel_steps;
      queries = values + round_up(dim, kTileWords) * key_steps;
      scores = queries + kTile * channel_steps;
      floats = scores + kTile * score_stride;
    }

    std::int64_t channel_steps, key_steps;  // pairs, up to whole tiles
    std::int64_t score_stride;              // an odd number of cache lines
    std::int64_t keys = 0, values, queries, scores, floats;
  };

  static std::int64_t scratch_floats(std::int64_t tokens, std::int64_t dim) {
    return Scratch(tokens, dim).floats;
  }

  // Tiles of columns in the panel that starts with one of them.
  static std::int64_t tiles_from(std::int64_t first, std::int64_t columns) {
    return std::min<std::int64_t>(2, divide_up(columns - first, kTileWords));
  }

  // Keys behind the last repeat it: what is computed from them leaves a maximum alone, and is dropped.
  static void pack_keys(const AttentionHead& head, std::int64_t steps, float* packed) {
    const BFloat16* const k = static_cast<const BFloat16*>(head.k);
    for (std::int64_t first = 0; first < head.tokens; first += kPanel) {
      const std::int64_t tiles = tiles_from(first, head.tokens);
      for (std::int64_t n = 0; n < tiles; ++n) {
        for (std::int64_t step = 0; step < steps; step += kTileWords) {
          Vector words[kTileRows];
          for (std::int64_t i = 0; i < kTileRows; ++i) {
            const std::int64_t key = std::min(first + n * kTileWords + i, head.tokens - 1);
            words[i] = BFloat16Pair::load(k + key * head.row_stride + 2 * step, head.dim - 2 * step);
          }
          Isa::transpose(words);
          float* const to = packed + first * steps + (step * tiles + n) * kTileWords;
          for (std::int64_t i = 0; i < kTileRows; ++i) {
            Isa::store(to + i * tiles * kTileWords, words[i]);
          }
        }
      }
    }
  }

  // Zeros behind the last value.
  static void pack_values(const AttentionHead& head, std::int64_t steps, float* packed) {
    const BFloat16* const v = static_cast<const BFloat16*>(head.v);
    for (std::int64_t first = 0; first < head.dim; first += kPanel) {
      const std::int64_t tiles = tiles_from(first, head.dim);
      for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t rows = std::min<std::int64_t>(2, head.tokens - 2 * step);
        for (std::int64_t n = 0; n < tiles; ++n) {
          const std::int64_t column = first + n * kTileWords;
          Isa::store(packed + first * steps + (step * tiles + n) * kTileWords,
                     rows < 1 ? Isa::zero()
                              : BFloat16Pair::load_columns(v + 2 * step * head.row_stride + column,
                                                           head.row_stride, rows,
                                                           head.dim - column));
        }
      }
    }
  }

  // Queries with zeros behind the last channel, and rows of zeros up to a whole tile of rows.
  static void pack_queries(const AttentionHead& head, std::int64_t first, std::int64_t rows,
                           std::int64_t width, BFloat16* packed) {
    const BFloat16* const q = static_cast<const BFloat16*>(head.q) + first * head.row_stride;
    for (std::int64_t row = 0; row < round_up(rows, kTileRows); ++row) {
      for (std::int64_t d = 0; d < width; d += Isa::kLanes) {
        const std::int64_t count = std::clamp<std::int64_t>(head.dim - d, 0, Isa::kLanes);
        const Vector values =
            row < rows ? Isa::load(q + row * head.row_stride + d, count) : Isa::zero();
        Isa::store(packed + row * width + d, values, Isa::kLanes);
      }
    }
  }

  // Scores of a query to probabilities, before they are divided by the sum that is returned: that of the values as
  // they are rounded, so that weights of values add up to one.
  static TVT_INLINE float exponentiate(float* scores, std::int64_t tokens, Vector factor) {
    constexpr std::int64_t kLanes = Isa::kLanes;
    Vector maximum = Isa::set(-std::numeric_limits<float>::infinity());
    for (std::int64_t t = 0; t < tokens; t += kLanes) {
      maximum = Isa::maximum(maximum, Isa::multiply(Isa::load(scores + t), factor));
    }
    maximum = Isa::set(Isa::largest(maximum));
    const auto power = [&](std::int64_t t) {
      const Vector score = Isa::multiply(Isa::load(scores + t), factor);
      return Isa::keep(vector_exp2<Isa>(Isa::subtract(score, maximum)), tokens - t);
    };
    const Vector ones = BFloat16Pair::round(Isa::set(1), Isa::set(1));
    Vector sum = Isa::zero();
    for (std::int64_t t = 0; t < tokens; t += 2 * kLanes) {
      const Vector first = power(t);
      const Vector second = t + kLanes < tokens ? power(t + kLanes) : Isa::zero();
      const Vector pairs = BFloat16Pair::round(first, second);
      sum = BFloat16Pair::multiply_add(ones, pairs, sum);
      Isa::store(scores + t / 2, pairs);
    }
    return Isa::sum(sum);
  }

  // Outputs of some queries: probabilities times a panel of values, over the sums of probabilities.
  template <int M, int N>
  static void mix(const AttentionHead& head, const Scratch& at, std::int64_t first,
                  std::int64_t rows, std::int64_t column, const float (&sums)[kTile]) {
    Vector mixed[M * kTileRows][N];
    multiply_tiles<M, N>(reinterpret_cast<const BFloat16*>(head.scratch + at.scores),
                         2 * at.score_stride, head.scratch + at.values + column * at.key_steps,
                         at.key_steps, reinterpret_cast<float*>(mixed), N * kTileWords);
    BFloat16* out = static_cast<BFloat16*>(head.out) + first * head.out_stride + column;
    for (std::int64_t row = 0; row < rows; ++row, out += head.out_stride) {
      const Vector inverse = Isa::set(1 / sums[row]);
      for (std::int64_t n = 0; n < N; ++n) {
        const std::int64_t count = std::min(Isa::kLanes, head.dim - column - n * kTileWords);
        Isa::store(out + n * kTileWords, Isa::multiply(mixed[row][n], inverse), count);
      }
    }
  }

  // Queries [first, first + rows), at most M tiles of rows.
  template <int M>
  static void tile(const AttentionHead& head, const Scratch& at, std::int64_t first,
                   std::int64_t rows) {
    BFloat16* const queries = reinterpret_cast<BFloat16*>(head.scratch + at.queries);
    const std::int64_t width = 2 * at.channel_steps;
    float* const scores = head.scratch + at.scores;
    pack_queries(head, first, rows, width, queries);
    for (std::int64_t key = 0; key < head.tokens; key += kPanel) {
      const float* const keys = head.scratch + at.keys + key * at.channel_steps;
      if (tiles_from(key, head.tokens) == 2) {
        multiply_tiles<M, 2>(queries, width, keys, at.channel_steps, scores + key,
                             at.score_stride);
      } else {
        multiply_tiles<M, 1>(queries, width, keys, at.channel_steps, scores + key,
                             at.score_stride);
      }
    }
    const Vector factor = Isa::set(static_cast<float>(head.scale * kLog2E));
    float sums[kTile];
    for (std::int64_t row = 0; row < rows; ++row) {
      sums[row] = exponentiate(scores + row * at.score_stride, head.tokens, factor);
    }
    for (std::int64_t column = 0; column < head.dim; column += kPanel) {
      if (tiles_from(column, head.dim) == 2) {
        mix<M, 2>(head, at, first, rows, column, sums);
      } else {
        mix<M, 1>(head, at, first, rows, column, sums);
      }
    }
  }

  static void run(const AttentionHead& head) {
    const Scratch at(head.tokens, head.dim);
    pack_keys(head, at.channel_steps, head.scratch + at.keys);
    pack_values(head, at.key_steps, head.scratch + at.values);
    const TileState state;
    const std::int64_t tiles = divide_up(head.tokens, kTile);
    const std::int64_t last = tiles * (head.part + 1) / head.parts;
    for (std::int64_t i = tiles * head.part / head.parts; i < last; ++i) {
      const std::int64_t first = i * kTile, rows = std::min(kTile, head.tokens - first);
      if (rows > kTileRows) {
        tile<2>(head, at, first, rows);
      } else {
        tile<1>(head, at, first, rows);
      }
    }
  }
};

}  // namespace
}  // namespace tvt
