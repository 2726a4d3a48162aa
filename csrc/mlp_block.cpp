#include "mlp_block.h"

#include <algorithm>
#include <new>
#include <vector>

#include "aligned_floats.h"
#include "linear.h"
#include "linear_kernels.h"
#include "packed_weight.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;        // multiplications per thread
constexpr std::int64_t kHiddenBytes = 1 << 18;  // of the hidden layer, at once and per thread
constexpr std::int64_t kRowBlock = 32;          // rows that kernels compute together, or a multiple of them

Linear first_layer(const MLPBlock& task, std::int64_t hidden_stride) {
  Linear layer{};
  layer.x = task.x;
  layer.weight = task.w1;
  layer.bias = task.b1;
  layer.dtype = task.dtype;
  layer.rows = task.rows;
  layer.inputs = task.channels;
  layer.outputs = task.hidden[task.widths - 1];
  layer.x_stride = task.x_stride;
  layer.weight_stride = task.w1_stride;
  layer.out_stride = hidden_stride;
  layer.norm = true;
  layer.eps = task.eps;
  layer.gelu = true;
  return layer;
}

Linear second_layer(const MLPBlock& task, std::int64_t hidden_stride, std::int64_t k) {
  Linear layer{};
  layer.weight = task.w2;
  layer.bias = task.b2;
  layer.residual = task.x;
  layer.out = static_cast<char*>(task.out) +
              k * task.rows * task.channels * element_size(task.dtype);
  layer.dtype = task.dtype;
  layer.rows = task.rows;
  layer.inputs = task.hidden[k];
  layer.outputs = task.channels;
  layer.x_stride = hidden_stride;
  layer.weight_stride = task.w2_stride;
  layer.residual_stride = task.x_stride;
  layer.out_stride = task.channels;
  return layer;
}

// One layer after the other: threads share the outputs of each, since there are few rows to share.
Status few_rows(const MLPBlock& task, std::int64_t hidden_stride, VectorSet set, int threads) {
  const std::int64_t size = element_size(task.dtype);
  const AlignedFloats hidden(task.rows * hidden_stride * size / sizeof(float));
  Linear up = first_layer(task, hidden_stride);
  up.out = hidden.data();
  Status status = linear(up, set, threads);
  for (std::int64_t k = 0; k < task.widths && status == Status::ok; ++k) {
    Linear down = second_layer(task, hidden_stride, k);
    down.x = hidden.data();
    status = linear(down, set, threads);
  }
  return status;
}

}  // namespace

Status mlp_block(const MLPBlock& task, VectorSet set, int threads) try {
  if (task.rows == 0) return Status::ok;
  const LinearKernel kernel = linear_kernel_for(set, task.dtype);
  const std::int64_t size = element_size(task.dtype), widest = task.hidden[task.widths - 1];
  const std::int64_t stride = odd_lines(widest * size) / size;
  if (task.rows <= kFewRows) return few_rows(task, stride, set, threads);
  const int workers = worth_threads(task.rows * task.channels * widest, kGrain, threads);
  const std::int64_t group =
      std::max<std::int64_t>(1, kHiddenBytes / (stride * size) / kRowBlock) * kRowBlock;

  const Linear first = first_layer(task, stride);
  const PackedWeight first_weight(kernel, first, workers);
  std::vector<Linear> second;
  std::vector<PackedWeight> second_weights;
  std::int64_t tile = tile_floats(kernel, first);
  for (std::int64_t k = 0; k < task.widths; ++k) {
    second.push_back(second_layer(task, stride, k));
    second_weights.emplace_back(kernel, second.back(), workers);
    tile = std::max(tile, tile_floats(kernel, second.back()));
  }
  const std::int64_t hidden = group * stride * size / sizeof(float);
  const AlignedFloats memory(workers * (hidden + tile));

#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    float* const active = memory.data() + worker * (hidden + tile);
    const std::int64_t end = task.rows * (worker + 1) / workers;
    for (std::int64_t row = task.rows * worker / workers; row < end; row += group) {
      const std::int64_t rows = std::min(group, end - row);
      Linear up = rows_of(first, row, row + rows);
      up.out = active;
      multiply(kernel, up, 0, rows, first_weight, active + hidden);
      for (std::int64_t k = 0; k < task.widths; ++k) {
        Linear down = rows_of(second[k], row, row + rows);
        down.x = active;
        multiply(kernel, down, 0, rows, second_weights[k], active + hidden);
      }
    }
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
