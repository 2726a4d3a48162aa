#include "packed_weight.h"

#include <algorithm>

namespace tvt {
namespace {

std::int64_t panels_of(const LinearKernel& kernel, const Linear& task) {
  return (task.outputs + kernel.panel - 1) / kernel.panel;
}

}  // namespace

PackedWeight::PackedWeight(const LinearKernel& kernel, const Linear& task,
                           [[maybe_unused]] int threads)
    : panels_(panels_of(kernel, task) * kernel.panel_floats(task)) {
  const std::int64_t panels = panels_of(kernel, task), floats = kernel.panel_floats(task);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    kernel.pack(task, panel, panels_.data() + panel * floats);
  }
}

std::int64_t tile_floats(const LinearKernel& kernel, const Linear& task) {
  return whole_lines(kernel.tile_floats(task));
}

void multiply(const LinearKernel& kernel, const Linear& task, std::int64_t first, std::int64_t last,
              const PackedWeight& weight, float* tile) {
  const std::int64_t rows = kernel.tile_rows(task);
  for (; first < last; first += rows) {
    kernel.multiply(task, first, std::min(last, first + rows), weight.data(), tile);
  }
}

Linear rows_of(const Linear& task, std::int64_t first, std::int64_t last) {
  const std::int64_t size = element_size(task.dtype);
  Linear part = task;
  const auto skip = [&](const void* rows, std::int64_t stride) {
    return rows == nullptr ? rows : static_cast<const char*>(rows) + first * stride * size;
  };
  part.x = skip(task.x, task.x_stride);
  part.residual = skip(task.residual, task.residual_stride);
  part.out = const_cast<void*>(skip(task.out, task.out_stride));
  part.rows = last - first;
  return part;
}

}  // namespace tvt
