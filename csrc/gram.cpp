#include "gram.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <type_traits>

#include "aligned_floats.h"
#include "linear_kernels.h"
#include "packed_weight.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;      // multiplications per thread
constexpr std::int64_t kBlock = 256;          // rows that meet a packed panel
constexpr std::int64_t kCached = 1 << 17;     // floats of a block and a panel: half of a second-level cache of 1 MiB
constexpr std::int64_t kMultiple = 64;        // of columns that are taken at a time
constexpr std::int64_t kUnits = 16;           // worth having, for threads to share
constexpr std::int64_t kTranspose = 16;

// Rows as floats, relative to `first` unless it is null.
template <typename T>
TVT_INLINE void load_rows_of(const T* x, std::int64_t stride, std::int64_t rows,
                             std::int64_t count, const T* first, float* out,
                             std::int64_t out_stride) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const T* const from = x + row * stride;
    float* const to = out + row * out_stride;
    if (first == nullptr) {
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) to[i] = to_float(from[i]);
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) to[i] = to_float(from[i]) - to_float(first[i]);
    }
  }
}

#define TVT_DEFINE(T)                                                                          \
  TVT_CLONES void load_rows(const T* x, std::int64_t stride, std::int64_t rows,                \
                            std::int64_t count, const T* first, float* out,                    \
                            std::int64_t out_stride) {                                         \
    load_rows_of(x, stride, rows, count, first, out, out_stride);                              \
  }
TVT_DEFINE(float)
TVT_DEFINE(Half)
TVT_DEFINE(BFloat16)
#undef TVT_DEFINE

// How a call is cut, which depends on its shape and on the kernel alone: a unit is a block of rows of one matrix, and a
// part of the columns of its rows, of which some are taken at a time.
struct Plan {
  Plan(const Gram& task, const LinearKernel& kernel) {
    const std::int64_t most = kCached / (std::min(task.rows, kBlock) + kernel.panel);
    step = std::min(task.length, std::max(most / kMultiple, std::int64_t{1}) * kMultiple);
    steps = (task.length + step - 1) / step;
    blocks = (task.rows + kBlock - 1) / kBlock;
    parts = std::clamp(kUnits / (task.matrices * blocks), std::int64_t{1}, steps);
    stride = odd_lines(step * static_cast<std::int64_t>(sizeof(float))) / sizeof(float);
  }

  std::int64_t step, steps;  // columns taken at a time, and how often
  std::int64_t blocks, parts;
  std::int64_t stride;       // of rows that are copied
};

// Where a thread copies rows to and packs a panel.
struct Room {
  Room(const Gram& task, const Plan& plan, const LinearKernel& kernel) {
    const std::int64_t most = std::min(task.rows, kBlock);
    rows = most * plan.stride;
    others = kernel.panel * plan.stride;
    const std::int64_t rest = task.length - (plan.steps - 1) * plan.step;
    for (const std::int64_t count : {plan.step, rest}) {
      const Linear whole = product(most, count, kernel.panel, plan.stride);
      panel = std::max(panel, whole_lines(kernel.panel_floats(whole)));
      tile = std::max(tile, tile_floats(kernel, whole));
    }
  }

  std::int64_t floats() const { return rows + others + panel + tile; }

  std::int64_t rows = 0, others = 0, panel = 0, tile = 0;

  // Of `count` columns, with rows that are copied.
  static Linear product(std::int64_t rows, std::int64_t count, std::int64_t outputs,
                        std::int64_t stride) {
    Linear task{};
    task.dtype = DType::f32;
    task.rows = rows;
    task.inputs = count;
    task.outputs = outputs;
    task.x_stride = task.weight_stride = stride;
    return task;
  }
};

// Some columns of some rows as floats: where they lie, or copied to `copy`.
struct Floats {
  const float* at;
  std::int64_t stride;
};

template <typename T>
Floats floats_of(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t count,
                 const T* first, float* copy, std::int64_t copy_stride) {
  if constexpr (std::is_same_v<T, float>) {
    if (first == nullptr) return {x, stride};
  }
  load_rows(x, stride, rows, count, first, copy, copy_stride);
  return {copy, copy_stride};
}

// The products of a block of rows of matrix k and, where they are of x with itself, of the rows up to its last alone;
// over one part of the columns.
template <typename T>
void multiply_unit(const Gram& task, const Plan& plan, const LinearKernel& kernel,
                   const Room& sizes, std::int64_t k, std::int64_t block, std::int64_t part,
                   float* out, float* room) {
  const bool own = task.y == nullptr;
  const T* const x = static_cast<const T*>(task.x) + k * task.x_matrix_stride;
  const T* const y =
      own ? x : static_cast<const T*>(task.y) + k % task.y_matrices * task.y_matrix_stride;
  const std::int64_t y_stride = own ? task.x_stride : task.y_stride;
  const std::int64_t begin = block * kBlock, end = std::min(task.rows, begin + kBlock);
  const std::int64_t columns = own ? end : task.columns;
  float* const others = room + sizes.rows;
  float* const packed = others + sizes.others;
  float* const tile = packed + sizes.panel;
  const std::int64_t first = part * plan.steps / plan.parts;
  const std::int64_t last = (part + 1) * plan.steps / plan.parts;
  for (std::int64_t step = first; step < last; ++step) {
    const std::int64_t at = step * plan.step, count = std::min(plan.step, task.length - at);
    const T* const origin = task.relative ? x + at : nullptr;
    const Floats left = floats_of(x + begin * task.x_stride + at, task.x_stride, end - begin,
                                  count, origin, room, plan.stride);
    for (std::int64_t column = 0; column < columns; column += kernel.panel) {
      const std::int64_t width = std::min(kernel.panel, columns - column);
      const Floats right = floats_of(y + column * y_stride + at, y_stride, width, count, origin,
                                     others, plan.stride);
      const std::int64_t row = own ? std::max(begin, column) : begin;
      Linear product = Room::product(end - row, count, width, left.stride);
      product.x = left.at + (row - begin) * left.stride;
      product.weight = right.at;
      product.weight_stride = right.stride;
      product.out = out + row * task.columns + column;
      product.residual = step > first ? product.out : nullptr;
      product.out_stride = product.residual_stride = task.columns;
      kernel.pack(product, 0, packed);
      const std::int64_t rows = kernel.tile_rows(product);
      for (std::int64_t r = 0; r < product.rows; r += rows) {
        kernel.multiply(product, r, std::min(product.rows, r + rows), packed, tile);
      }
    }
  }
}

TVT_CLONES void add_parts(const float* parts, std::int64_t count, std::int64_t size, float* out) {
  std::copy(parts, parts + size, out);
  for (std::int64_t part = 1; part < count; ++part) {
    const float* const from = parts + part * size;
#pragma omp simd
    for (std::int64_t i = 0; i < size; ++i) out[i] += from[i];
  }
}

// Products above the diagonal from those below it.
TVT_CLONES void mirror(float* out, std::int64_t rows) {
  for (std::int64_t i = 0; i < rows; i += kTranspose) {
    for (std::int64_t j = i; j < rows; j += kTranspose) {
      const std::int64_t last_row = std::min(rows, i + kTranspose);
      const std::int64_t last_column = std::min(rows, j + kTranspose);
      for (std::int64_t row = i; row < last_row; ++row) {
        for (std::int64_t column = std::max(j, row + 1); column < last_column; ++column) {
          out[row * rows + column] = out[column * rows + row];
        }
      }
    }
  }
}

template <typename T>
void products(const Gram& task, const LinearKernel& kernel, int threads) {
  const Plan plan(task, kernel);
  const Room sizes(task, plan, kernel);
  const std::int64_t size = task.rows * task.columns;
  const std::int64_t units = task.matrices * plan.blocks * plan.parts;
  const AlignedFloats parts(plan.parts > 1 ? task.matrices * plan.parts * size : 0);
  const int workers = static_cast<int>(std::min<std::int64_t>(
      worth_threads(task.matrices * size * task.length, kGrain, threads), units));
  const AlignedFloats rooms(workers * sizes.floats());
  std::atomic<std::int64_t> next{0};
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    for (std::int64_t unit = next++; unit < units; unit = next++) {
      const std::int64_t part = unit % plan.parts, block = unit / plan.parts % plan.blocks;
      const std::int64_t k = unit / (plan.parts * plan.blocks);
      float* const out = plan.parts > 1 ? parts.data() + (k * plan.parts + part) * size
                                        : task.out + k * size;
      multiply_unit<T>(task, plan, kernel, sizes, k, block, part, out,
                       rooms.data() + worker * sizes.floats());
    }
  }
#pragma omp parallel for schedule(static) num_threads(workers)
  for (std::int64_t k = 0; k < task.matrices; ++k) {
    float* const out = task.out + k * size;
    if (plan.parts > 1) add_parts(parts.data() + k * plan.parts * size, plan.parts, size, out);
    if (task.y == nullptr) mirror(out, task.rows);
  }
}

}  // namespace

Status gram(const Gram& task, VectorSet set, int threads) try {
  const std::int64_t elements = task.matrices * task.rows * task.columns;
  if (elements == 0) return Status::ok;
  if (task.length == 0) {
    std::fill(task.out, task.out + elements, 0.0f);
    return Status::ok;
  }
  const LinearKernel kernel = linear_kernel_for(set, DType::f32);
  switch (task.dtype) {
    case DType::f32:
      products<float>(task, kernel, threads);
      return Status::ok;
    case DType::f16:
      products<Half>(task, kernel, threads);
      return Status::ok;
    case DType::bf16:
      products<BFloat16>(task, kernel, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
