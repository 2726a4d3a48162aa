#include "linear.h"

#include <cstdint>
#include <new>

#include "aligned_floats.h"
#include "linear_kernels.h"
#include "packed_weight.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;  // multiplications per thread

}  // namespace

Status linear(const Linear& task, VectorSet set, int threads) try {
  if (task.rows == 0) return Status::ok;
  const LinearKernel kernel = linear_kernel_for(set, task.dtype);
  const int workers = worth_threads(task.rows * task.inputs * task.outputs, kGrain, threads);
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
