// A linear layer, written once for every instruction set. Included by the file of each, whose functions are compiled
// for it; so everything is in an unnamed namespace.
//
// Outputs lie along the lanes of vectors. The weight is packed in panels b[k][n] of kVectors vectors of outputs, and a
// block of kBlock rows is multiplied with a panel in registers: a panel is read once per block and a block once per
// panel, both from the second-level cache. An Operand says what one step k multiplies: one fp32 value, or a pair of
// bf16 values. A Product says how a block is multiplied, kSteps steps at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "linear_kernels.h"
#include "tokenwise_vectors.h"

namespace tvt {
namespace {

constexpr std::int64_t kTileBytes = 1 << 18;
constexpr std::int64_t kAliasing = 4096;  // rows that lie so many bytes apart evict each other

template <typename IsaOf, typename T>
struct Single {
  using Isa = IsaOf;
  using Element = T;     // of the tensors
  using Factor = float;  // of a tile
  using Vector = typename Isa::Vector;
  static constexpr std::int64_t kTerms = 1;

  static TVT_INLINE Vector load(const T* values, std::int64_t count) {
    return Isa::load(values, count);
  }
  static TVT_INLINE Vector broadcast(const float* value) { return Isa::broadcast(value); }
  static TVT_INLINE Vector multiply_add(Vector left, Vector right, Vector sum) {
    return Isa::fma(left, right, sum);
  }
};

// The product in registers of vectors, factors of rows broadcast.
template <typename Operand>
struct InVectors : Operand {
  using Isa = typename Operand::Isa;
  using Factor = typename Operand::Factor;
  using Vector = typename Isa::Vector;
  static constexpr std::int64_t kLanes = Isa::kLanes;
  static constexpr std::int64_t kVectors = 3;
  static constexpr std::int64_t kBlock = kLanes / 2;
  static constexpr std::int64_t kSteps = 1;

  struct State {};  // that a thread keeps while it multiplies

  // All rows of the block, whatever `rows`.
  template <int N>
  static TVT_INLINE void multiply(const Factor* a, std::int64_t stride, const float* b,
                                  std::int64_t steps, std::int64_t, Vector (&sum)[kBlock][N]) {
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
        const Vector factor = Operand::broadcast(a + i * stride + step * Operand::kTerms);
#pragma GCC unroll 3
        for (int n = 0; n < N; ++n) sum[i][n] = Operand::multiply_add(factor, right[n], sum[i][n]);
      }
    }
  }
};

template <typename Product>
struct LinearTiles {
  using Isa = typename Product::Isa;
  using T = typename Product::Element;
  using Factor = typename Product::Factor;
  using Vector = typename Isa::Vector;
  static constexpr std::int64_t kLanes = Isa::kLanes;
  static constexpr std::int64_t kVectors = Product::kVectors;
  static constexpr std::int64_t kPanel = kVectors * kLanes;
  static constexpr std::int64_t kBlock = Product::kBlock;
  static constexpr std::int64_t kTerms = Product::kTerms;

  static constexpr std::int64_t kWhole = Product::kSteps * kTerms;  // inputs at once

  static std::int64_t steps(const Linear& task) {
    return (task.inputs + kWhole - 1) / kWhole * Product::kSteps;
  }
  static std::int64_t panel_floats(const Linear& task) { return steps(task) * kPanel; }
  // Elements between rows of a tile.
  static std::int64_t tile_stride(const Linear& task) {
    constexpr std::int64_t kBytes = sizeof(Factor);
    return odd_lines(steps(task) * kTerms * kBytes) / kBytes;
  }
  static std::int64_t tile_rows(const Linear& task) {
    const std::int64_t bytes = tile_stride(task) * sizeof(Factor);
    const std::int64_t blocks = std::max<std::int64_t>(1, kTileBytes / bytes / kBlock);
    return std::min(blocks, (task.rows + kBlock - 1) / kBlock) * kBlock;
  }
  static std::int64_t tile_floats(const Linear& task) {
    return tile_rows(task) * tile_stride(task) * sizeof(Factor) / sizeof(float);
  }

  static void pack(const Linear& task, std::int64_t panel, float* packed) {
    const T* const weight = static_cast<const T*>(task.weight);
    const std::int64_t all = steps(task);
    const std::int64_t vectors = vectors_of(task, panel);
    for (std::int64_t n = 0; n < vectors; ++n) {
      const std::int64_t first = panel * kPanel + n * kLanes;
      for (std::int64_t step = 0; step < all; step += kLanes) {
        const std::int64_t column = step * kTerms;
        Vector words[kLanes];
        for (std::int64_t i = 0; i < kLanes; ++i) {
          words[i] = first + i < task.outputs
                         ? Product::load(weight + (first + i) * task.weight_stride + column,
                                         task.inputs - column)
                         : Isa::zero();
        }
        Isa::transpose(words);
        const std::int64_t present = std::min(kLanes, all - step);
        for (std::int64_t i = 0; i < present; ++i) {
          Isa::store(packed + ((step + i) * vectors + n) * kLanes, words[i]);
        }
      }
    }
  }

  static void multiply(const Linear& task, std::int64_t first, std::int64_t last,
                       const float* packed, float* tile) {
    const std::int64_t full = first + (last - first) / kBlock * kBlock;
    Rows left{};
    if (!reads_in_place(task)) {
      fill(task, first, last, reinterpret_cast<Factor*>(tile));
      left = {reinterpret_cast<const Factor*>(tile), tile_stride(task)};
    } else if constexpr (std::is_same_v<T, Factor>) {
      left = {static_cast<const T*>(task.x) + first * task.x_stride, task.x_stride};
      if (full < last) fill(task, full, last, reinterpret_cast<Factor*>(tile));
    }
    const Rows rest = reads_in_place(task)
                          ? Rows{reinterpret_cast<const Factor*>(tile), tile_stride(task)}
                          : left.from(full - first);
    const std::int64_t panels = (task.outputs + kPanel - 1) / kPanel;
    [[maybe_unused]] const typename Product::State state;
    for (std::int64_t panel = 0; panel < panels; ++panel, packed += panel_floats(task)) {
      switch (vectors_of(task, panel)) {
        case 1:
          multiply_panel<1>(task, left, rest, first, full, last, panel, packed);
          break;
        case 2:
          multiply_panel<2>(task, left, rest, first, full, last, panel, packed);
          break;
        default:
          multiply_panel<kVectors>(task, left, rest, first, full, last, panel, packed);
      }
    }
  }

 private:
  struct Rows {
    const Factor* at;
    std::int64_t stride;
    Rows from(std::int64_t row) const { return {at + row * stride, stride}; }
  };

  static std::int64_t vectors_of(const Linear& task, std::int64_t panel) {
    const std::int64_t outputs = task.outputs - panel * kPanel;
    return std::min(kVectors, (outputs + kLanes - 1) / kLanes);
  }

  static bool reads_in_place(const Linear& task) {
    return std::is_same_v<T, Factor> && !task.norm && task.inputs % kWhole == 0 &&
           task.x_stride * static_cast<std::int64_t>(sizeof(T)) % kAliasing != 0;
  }

  // Rows as factors, with zeros up to a whole step, and rows of zeros up to a whole block.
  static void fill(const Linear& task, std::int64_t first, std::int64_t last, Factor* tile) {
    const std::int64_t width = steps(task) * kTerms, stride = tile_stride(task);
    for (std::int64_t row = first; row < last; ++row, tile += stride) {
      const T* const x = static_cast<const T*>(task.x) + row * task.x_stride;
      if (task.norm) {
        normalise_row<Isa>(x, tile, task.inputs, static_cast<float>(task.eps));
      } else {
        for (std::int64_t i = 0; i < task.inputs; i += kLanes) {
          const std::int64_t count = std::min(kLanes, task.inputs - i);
          Isa::store(tile + i, Isa::load(x + i, count), count);
        }
      }
      std::fill(tile + task.inputs, tile + width, Factor{});
    }
    for (std::int64_t row = last - first; row % kBlock != 0; ++row, tile += stride) {
      std::fill(tile, tile + width, Factor{});
    }
  }

  template <int N>
  static void multiply_panel(const Linear& task, Rows left, Rows rest, std::int64_t first,
                             std::int64_t full, std::int64_t last, std::int64_t panel,
                             const float* packed) {
    for (std::int64_t row = first; row < last; row += kBlock) {
      const Rows block = row < full ? left.from(row - first) : rest;
      const std::int64_t rows = std::min(kBlock, last - row), column = panel * kPanel;
      Vector sum[kBlock][N];
      prefetch<N>(task, row, rows, column);
      Product::template multiply<N>(block.at, block.stride, packed, steps(task), rows, sum);
      if (task.gelu) {
        finish<N, true>(task, row, rows, column, sum);
      } else {
        finish<N, false>(task, row, rows, column, sum);
      }
    }
  }

  // Fetches what finish() reads and writes while the block is multiplied.
  template <int N>
  static TVT_INLINE void prefetch(const Linear& task, std::int64_t first, std::int64_t rows,
                                  std::int64_t column) {
    constexpr std::int64_t kLine = kCacheLine / sizeof(T);
    const T* const out = static_cast<const T*>(task.out) + column;
    const T* const residual = static_cast<const T*>(task.residual);
    for (std::int64_t row = first; row < first + rows; ++row) {
      for (std::int64_t at = 0; at < N * kLanes; at += kLine) {
        TVT_PREFETCH(out + row * task.out_stride + at);
        if (residual) TVT_PREFETCH(residual + row * task.residual_stride + column + at);
      }
    }
  }

  // Bias, activation and residual of a block of sums.
  template <int N, bool kGelu>
  static TVT_INLINE void finish(const Linear& task, std::int64_t first, std::int64_t rows,
                                std::int64_t column, const Vector (&sum)[kBlock][N]) {
    const T* const bias = static_cast<const T*>(task.bias);
    const T* residual = static_cast<const T*>(task.residual);
    if (residual) residual += first * task.residual_stride + column;
    T* out = static_cast<T*>(task.out) + first * task.out_stride + column;
    std::int64_t count[N];
    Vector shift[N];
#pragma GCC unroll 3
    for (int n = 0; n < N; ++n) {
      const std::int64_t at = column + n * kLanes;
      count[n] = std::min(kLanes, task.outputs - at);
      shift[n] = bias ? Isa::load(bias + at, count[n]) : Isa::zero();
    }
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kBlock; ++i) {
      if (i == rows) return;
#pragma GCC unroll 3
      for (int n = 0; n < N; ++n) {
        const std::int64_t at = n * kLanes;
        Vector value = Isa::add(sum[i][n], shift[n]);
        if constexpr (kGelu) value = gelu_of<Isa, T>(value);
        if (residual) value = Isa::add(value, Isa::load(residual + at, count[n]));
        Isa::store(out + at, value, count[n]);
      }
      out += task.out_stride;
      if (residual) residual += task.residual_stride;
    }
  }
};

template <typename Product>
LinearKernel linear_kernel() {
  using Tiles = LinearTiles<Product>;
  return {Tiles::kPanel,      Tiles::panel_floats, Tiles::tile_rows,
          Tiles::tile_floats, Tiles::pack,         Tiles::multiply};
}

template <typename Isa>
LinearKernel linear_kernel_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return linear_kernel<InVectors<Single<Isa, float>>>();
    case DType::f16:
      return linear_kernel<InVectors<Single<Isa, Half>>>();
    case DType::bf16:
      break;
  }
  return linear_kernel<InVectors<Single<Isa, BFloat16>>>();
}

}  // namespace
}  // namespace tvt
