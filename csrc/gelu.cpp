#include "gelu.h"

#include <algorithm>

#include "target.h"
#include "tokenwise.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // values per thread
constexpr std::int64_t kBlock = 1 << 12;  // values per call, whole vectors

using Kernel = void (*)(void*, DType, std::int64_t);

Kernel kernel([[maybe_unused]] VectorSet set) {
#if TVT_HAS_CLONES
  if (set == VectorSet::avx512_bf16) return gelu_avx512_bf16;
  if (set == VectorSet::avx512) return gelu_avx512;
  if (set == VectorSet::avx2) return gelu_avx2;
#endif
  return nullptr;
}

}  // namespace

Status gelu(void* x, DType dtype, std::int64_t count, VectorSet set, int threads) {
  const Kernel run = kernel(set);
  const std::int64_t size = dtype == DType::f32 ? 4 : 2;
  const int workers = worth_threads(count, kGrain, threads);
#pragma omp parallel for schedule(static) num_threads(workers)
  for (std::int64_t i = 0; i < count; i += kBlock) {
    run(static_cast<char*>(x) + i * size, dtype, std::min(kBlock, count - i));
  }
  return Status::ok;
}

}  // namespace tvt
