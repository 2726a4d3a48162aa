// Attention of one head, written once for every instruction set. Included by the file of each, whose functions are
// compiled for it; so everything is in an unnamed namespace.
//
// Queries lie along the lanes of vectors: scores, softmax and output of a query never leave its lane, and head widths
// are padded to half a vector only. Both products are then one loop, out[i, q] = sum_k a[k, i] b[k, q], over operands
// packed as
//   a[block][k][i]   blocks of kBlock keys (first product) or value columns (second), read by broadcasts
//   b[k][q]          the queries of a tile (first product) or their probabilities (second)
// An Operand says what one step k multiplies: one fp32 value, or a pair of bf16 values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "attention_head.h"
#include "vector_exp2.h"

namespace tvt {
namespace {

// A tile is up to kTileVectors vectors of queries, one query per lane.
constexpr std::int64_t kTileVectors = 3;
constexpr std::int64_t kMaxLanes = 16;

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

inline std::int64_t attention_scratch_floats(std::int64_t tokens, std::int64_t dim) {
  return AttentionScratch(tokens, dim).floats;
}

inline AttentionKernel attention_kernel(void (*run)(const AttentionHead&)) {
  return {kTileVectors * kMaxLanes, attention_scratch_floats, run};
}

template <typename Operand>
struct Attention {
  using Isa = typename Operand::Isa;
  using T = typename Operand::Element;
  using Vector = typename Isa::Vector;
  static constexpr std::int64_t kLanes = Isa::kLanes;
  static constexpr std::int64_t kBlock = kLanes / 2;
  static constexpr std::int64_t kTerms = Operand::kTerms;

  // Words [L][L] at column `word` of rows [first, first + L), transposed. Rows behind the last repeat it: what is
  // computed from them leaves a maximum alone, and is dropped.
  static TVT_INLINE void transposed_words(const T* rows, std::int64_t row_stride, std::int64_t count,
                                          std::int64_t first, std::int64_t columns,
                                          std::int64_t word, Vector (&words)[kLanes]) {
    const std::int64_t column = word * kTerms;
    for (std::int64_t i = 0; i < kLanes; ++i) {
      const T* row = rows + std::min(first + i, count - 1) * row_stride;
      words[i] = Operand::load(row + column, columns - column);
    }
    Isa::transpose(words);
  }

  static void pack_keys(const T* k, std::int64_t row_stride, std::int64_t tokens, std::int64_t dim,
                        float* packed) {
    const std::int64_t steps = divide_up(dim, kTerms);
    for (std::int64_t first = 0; first < tokens; first += kLanes) {
      float* blocks = packed + first * steps;
      for (std::int64_t word = 0; word < steps; word += kLanes) {
        Vector words[kLanes];
        transposed_words(k, row_stride, tokens, first, dim, word, words);
        const std::int64_t present = std::min(kLanes, steps - word);
        for (std::int64_t i = 0; i < present; ++i) {
          float* to = blocks + (word + i) * kBlock;
          Isa::store_halves(to, to + steps * kBlock, words[i]);
        }
      }
    }
  }

  static void pack_values(const T* v, std::int64_t row_stride, std::int64_t tokens,
                          std::int64_t dim, float* packed) {
    const std::int64_t steps = divide_up(tokens, kTerms);
    for (std::int64_t step = 0; step < steps; ++step) {
      const T* row = v + step * kTerms * row_stride;
      const std::int64_t rows = std::min(kTerms, tokens - step * kTerms);
      for (std::int64_t d = 0; d < dim; d += kLanes) {
        float* to = packed + d * steps + step * kBlock;
        const Vector words = Operand::load_columns(row + d, row_stride, rows, dim - d);
        Isa::store_halves(to, to + steps * kBlock, words);
      }
    }
  }

  static void pack_queries(const T* q, std::int64_t row_stride, std::int64_t tokens,
                           std::int64_t dim, std::int64_t first, std::int64_t vectors,
                           float* packed) {
    const std::int64_t steps = divide_up(dim, kTerms);
    for (std::int64_t n = 0; n < vectors; ++n) {
      for (std::int64_t word = 0; word < steps; word += kLanes) {
        Vector words[kLanes];
        transposed_words(q, row_stride, tokens, first + n * kLanes, dim, word, words);
        const std::int64_t present = std::min(kLanes, steps - word);
        for (std::int64_t i = 0; i < present; ++i) {
          Isa::store(packed + ((word + i) * vectors + n) * kLanes, words[i]);
        }
      }
    }
  }

  template <int N>
  static TVT_INLINE void multiply(const float* a, const float* b, std::int64_t steps,
                                  Vector (&sum)[kBlock][N]) {
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kBlock; ++i) {
#pragma GCC unroll 3
      for (int n = 0; n < N; ++n) sum[i][n] = Isa::zero();
    }
    for (std::int64_t step = 0; step < steps; ++step) {
      Vector right[N];
#pragma GCC unroll 3
      for (int n = 0; n < N; ++n) right[n] = Isa::load(b + (step * N + n) * kLanes);
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < kBlock; ++i) {
        const Vector left = Isa::broadcast(a + step * kBlock + i);
#pragma GCC unroll 3
        for (int n = 0; n < N; ++n) sum[i][n] = Operand::multiply_add(left, right[n], sum[i][n]);
      }
    }
  }

  // out[t, q] = scale log2(e) q . k_t, and its maximum over t. A function of its own, so that the maxima are in memory
  // and all registers hold sums: inlined, GCC 12 spills sums of the inner loop.
  template <int N>
  TVT_NOINLINE static void scores(const AttentionHead& head, const float* keys, const float* queries,
                                  float* out, Vector (&maximum)[N]) {
    const std::int64_t tokens = head.tokens, steps = divide_up(head.dim, kTerms);
    const Vector factor = Isa::set(static_cast<float>(head.scale * kLog2E));
    for (int n = 0; n < N; ++n) maximum[n] = Isa::set(-std::numeric_limits<float>::infinity());
    for (std::int64_t t = 0; t < tokens; t += kBlock) {
      Vector sum[kBlock][N];
      multiply<N>(keys + t * steps, queries, steps, sum);
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < kBlock; ++i) {
#pragma GCC unroll 3
        for (int n = 0; n < N; ++n) {
          const Vector score = Isa::multiply(sum[i][n], factor);
          maximum[n] = Isa::maximum(maximum[n], score);
          Isa::store(out + ((t + i) * N + n) * kLanes, score);
        }
      }
    }
  }

  // Outputs [dim, q] of a tile: values times probabilities, over their sum.
  template <int N>
  static void mix(const float* values, const float* probabilities, std::int64_t tokens,
                  std::int64_t dim, const Vector (&sum)[N], float* mixed) {
    const std::int64_t steps = divide_up(tokens, kTerms);
    Vector inverse[N];
    for (int n = 0; n < N; ++n) inverse[n] = Isa::divide(Isa::set(1), sum[n]);
    for (std::int64_t d = 0; d < dim; d += kBlock) {
      Vector block[kBlock][N];
      multiply<N>(values + d * steps, probabilities, steps, block);
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < kBlock; ++i) {
#pragma GCC unroll 3
        for (int n = 0; n < N; ++n) {
          Isa::store(mixed + ((d + i) * N + n) * kLanes, Isa::multiply(block[i][n], inverse[n]));
        }
      }
    }
  }

  static void unpack(const float* mixed, std::int64_t tokens, std::int64_t dim, std::int64_t first,
                     std::int64_t vectors, T* out, std::int64_t out_stride) {
    for (std::int64_t n = 0; n < vectors; ++n) {
      const std::int64_t begin = first + n * kLanes;
      const std::int64_t present = std::min(kLanes, tokens - begin);
      for (std::int64_t d = 0; d < dim; d += kLanes) {
        Vector words[kLanes];
        for (std::int64_t i = 0; i < kLanes; ++i) {
          words[i] = Isa::load(mixed + ((d + i) * vectors + n) * kLanes);
        }
        Isa::transpose(words);
        for (std::int64_t i = 0; i < present; ++i) {
          Isa::store(out + (begin + i) * out_stride + d, words[i], dim - d);
        }
      }
    }
  }

  template <int N>
  static void tile(const AttentionHead& head, const AttentionScratch& at, std::int64_t first) {
    float* const queries = head.scratch + at.queries;
    float* const probabilities = head.scratch + at.scores;
    float* const mixed = head.scratch + at.mixed;
    Vector maximum[N], sum[N];
    pack_queries(static_cast<const T*>(head.q), head.row_stride, head.tokens, head.dim, first, N,
                 queries);
    scores<N>(head, head.scratch + at.keys, queries, probabilities, maximum);
    Operand::template exponentiate<N>(probabilities, head.tokens, maximum, sum);
    mix<N>(head.scratch + at.values, probabilities, head.tokens, head.dim, sum, mixed);
    unpack(mixed, head.tokens, head.dim, first, N, static_cast<T*>(head.out), head.out_stride);
  }

  static void run(const AttentionHead& head) {
    const AttentionScratch at(head.tokens, head.dim);
    pack_keys(static_cast<const T*>(head.k), head.row_stride, head.tokens, head.dim,
              head.scratch + at.keys);
    pack_values(static_cast<const T*>(head.v), head.row_stride, head.tokens, head.dim,
                head.scratch + at.values);
    const std::int64_t vectors = divide_up(head.tokens, kLanes);
    const std::int64_t tiles = divide_up(vectors, kTileVectors);
    const std::int64_t last = tiles * (head.part + 1) / head.parts;
    for (std::int64_t i = tiles * head.part / head.parts; i < last; ++i) {
      const std::int64_t begin = vectors * i / tiles, end = vectors * (i + 1) / tiles;
      switch (end - begin) {
        case 1:
          tile<1>(head, at, begin * kLanes);
          break;
        case 2:
          tile<2>(head, at, begin * kLanes);
          break;
        case 3:
          tile<3>(head, at, begin * kLanes);
          break;
      }
    }
  }
};

// One value of any dtype in a step, computed with in fp32.
template <typename Isa_, typename Element_>
struct Single {
  using Isa = Isa_;
  using Element = Element_;
  using Vector = typename Isa::Vector;
  static constexpr std::int64_t kTerms = 1;

  static TVT_INLINE Vector load(const Element* values, std::int64_t count) {
    return Isa::load(values, count);
  }

  static TVT_INLINE Vector load_columns(const Element* row, std::int64_t, std::int64_t,
                                        std::int64_t count) {
    return Isa::load(row, count);
  }

  static TVT_INLINE Vector multiply_add(Vector left, Vector right, Vector sum) {
    return Isa::fma(left, right, sum);
  }

  template <int N>
  static void exponentiate(float* scores, std::int64_t tokens, const Vector (&maximum)[N],
                           Vector (&sum)[N]) {
    for (int n = 0; n < N; ++n) sum[n] = Isa::zero();
    for (std::int64_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 3
      for (int n = 0; n < N; ++n) {
        float* at = scores + (t * N + n) * Isa::kLanes;
        const Vector power = vector_exp2<Isa>(Isa::subtract(Isa::load(at), maximum[n]));
        sum[n] = Isa::add(sum[n], power);
        Isa::store(at, power);
      }
    }
  }
};

template <typename Isa>
void attention_single(const AttentionHead& head) {
  switch (head.dtype) {
    case DType::f32:
      Attention<Single<Isa, float>>::run(head);
      break;
    case DType::f16:
      Attention<Single<Isa, Half>>::run(head);
      break;
    case DType::bf16:
      Attention<Single<Isa, BFloat16>>::run(head);
      break;
  }
}

}  // namespace
}  // namespace tvt
