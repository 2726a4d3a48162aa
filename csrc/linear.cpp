#include "linear.h"

#include <algorithm>
#include <cstdint>
#include <new>

#include "aligned_floats.h"
#include "linear_kernels.h"
#include "packed_weight.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;  // multiplications per thread

// The task of the outputs of one panel.
Linear panel_of(const LinearKernel& kernel, const Linear& task, std::int64_t panel) {
  const std::int64_t first = panel * kernel.panel, size = element_size(task.dtype);
  const auto skip = [&](const void* at, std::int64_t elements) {
    return at == nullptr ? at : static_cast<const char*>(at) + elements * size;
  };
  Linear part = task;
  part.weight = skip(task.weight, first * task.weight_stride);
  part.bias = skip(task.bias, first);
  part.residual = skip(task.residual, first);
  part.out = const_cast<void*>(skip(task.out, first));
  part.outputs = std::min(kernel.panel, task.outputs - first);
  return part;
}

// Where packing is most of the work: threads share the panels, and one is multiplied while it lies in the cache that it
// was packed in.
void few_rows(const LinearKernel& kernel, const Linear& task, int threads) {
  const std::int64_t panels = (task.outputs + kernel.panel - 1) / kernel.panel;
  const std::int64_t packed = whole_lines(kernel.panel_floats(task));
  const std::int64_t room = packed + tile_floats(kernel, task);
  const int workers = static_cast<int>(std::min<std::int64_t>(threads, panels));
  const AlignedFloats rooms(workers * room);
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    float* const own = rooms.data() + worker * room;
    const std::int64_t last = panels * (worker + 1) / workers;
    for (std::int64_t panel = panels * worker / workers; panel < last; ++panel) {
      const Linear part = panel_of(kernel, task, panel);
      kernel.pack(part, 0, own);
      const std::int64_t rows = kernel.tile_rows(part);
      for (std::int64_t row = 0; row < part.rows; row += rows) {
        kernel.multiply(part, row, std::min(part.rows, row + rows), own, own + packed);
      }
    }
  }
}

}  // namespace

Status linear(const Linear& task, VectorSet set, int threads) try {
  if (task.rows == 0) return Status::ok;
  const LinearKernel kernel = linear_kernel_for(set, task.dtype);
  const int workers = worth_threads(task.rows * task.inputs * task.outputs, kGrain, threads);
  if (task.rows <= kFewRows) {
    few_rows(kernel, task, workers);
    return Status::ok;
  }
  const PackedWeight weight(kernel, task, workers);
  const std::int64_t tile = tile_floats(kernel, task);
  const AlignedFloats tiles(workers * tile);
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    const std::int64_t first = task.rows * worker / workers;
    const std::int64_t last = task.rows * (worker + 1) / workers;
    multiply(kernel, task, first, last, weight, tiles.data() + worker * tile);
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
