#include "linear.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>

#include "linear_kernels.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;  // multiplications per thread

LinearKernel kernel([[maybe_unused]] VectorSet set, [[maybe_unused]] DType dtype) {
#if TVT_HAS_CLONES
  if (set == VectorSet::avx512_bf16) return linear_avx512_bf16(dtype);
  if (set == VectorSet::avx512) return linear_avx512(dtype);
  if (set == VectorSet::avx2) return linear_avx2(dtype);
#endif
  return {};
}

std::int64_t whole_lines(std::int64_t floats) {
  const std::int64_t line = kCacheLine / sizeof(float);
  return (floats + line - 1) / line * line;
}

}  // namespace

Status linear(const Linear& task, VectorSet set, int threads) try {
  if (task.rows == 0) return Status::ok;
  const LinearKernel run = kernel(set, task.dtype);
  const int workers = worth_threads(task.rows * task.inputs * task.outputs, kGrain, threads);
  const std::int64_t panels = (task.outputs + run.panel - 1) / run.panel;
  const std::int64_t panel_floats = run.panel_floats(task);
  const std::int64_t tile_floats = whole_lines(run.tile_floats(task));
  const std::int64_t line = kCacheLine / sizeof(float);
  const std::unique_ptr<float[]> memory(
      new float[panels * panel_floats + workers * tile_floats + line]);
  void* start = memory.get();
  std::size_t room = (panels * panel_floats + workers * tile_floats + line) * sizeof(float);
  float* const packed = static_cast<float*>(std::align(kCacheLine, 1, start, room));
  float* const tiles = packed + panels * panel_floats;

#pragma omp parallel for schedule(static) num_threads(workers)
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    run.pack(task, panel, packed + panel * panel_floats);
  }
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    const std::int64_t last = task.rows * (worker + 1) / workers;
    const std::int64_t rows = run.tile_rows(task);
    for (std::int64_t first = task.rows * worker / workers; first < last; first += rows) {
      run.multiply(task, first, std::min(last, first + rows), packed,
                   tiles + worker * tile_floats);
    }
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
