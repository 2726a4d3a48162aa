#include "layer_norm.h"

#include "target.h"
#include "layer_norm_kernels.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // values per thread

using Kernel = void (*)(const LayerNorm&);

Kernel kernel([[maybe_unused]] VectorSet set) {
#if TVT_HAS_CLONES
  if (set <= VectorSet::avx512_bf16) return layer_norm_avx512_bf16;
  if (set == VectorSet::avx512) return layer_norm_avx512;
  if (set == VectorSet::avx2) return layer_norm_avx2;
#endif
  return nullptr;
}

}  // namespace

Status layer_norm(const LayerNorm& task, VectorSet set, int threads) {
  const Kernel run = kernel(set);
  const std::int64_t size = element_size(task.dtype);
  const int workers = worth_threads(task.rows * task.columns, kGrain, threads);
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    const std::int64_t first = task.rows * worker / workers;
    LayerNorm part = task;
    part.x = static_cast<const char*>(task.x) + first * task.row_stride * size;
    part.out = static_cast<char*>(task.out) + first * task.columns * size;
    part.rows = task.rows * (worker + 1) / workers - first;
    run(part);
  }
  return Status::ok;
}

}  // namespace tvt
