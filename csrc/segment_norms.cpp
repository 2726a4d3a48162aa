#include "segment_norms.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "sum_squares.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kChunk = 1 << 14;  // elements; 64 KiB of floats
constexpr std::int64_t kGrain = 1 << 17;  // elements per thread
constexpr int kBatch = 16;                // chunks a thread takes at a time

double chunk_sum(std::int64_t address, DType dtype, std::int64_t begin, std::int64_t count) {
  const auto pointer = static_cast<std::uintptr_t>(address);
  switch (dtype) {
    case DType::f32:
      return sum_squares(reinterpret_cast<const float*>(pointer) + begin, count);
    case DType::f16:
      return sum_squares(reinterpret_cast<const Half*>(pointer) + begin, count);
    case DType::bf16:
      return sum_squares(reinterpret_cast<const BFloat16*>(pointer) + begin, count);
  }
  return 0;
}

bool known(std::int64_t dtype) { return dtype >= 0 && dtype <= static_cast<int>(DType::bf16); }

}  // namespace

Status segment_norms(const std::int64_t* addresses, const std::int64_t* lengths,
                     const std::int64_t* dtypes, std::int64_t n, float* norms, int threads) try {
  if (!std::all_of(dtypes, dtypes + n, known)) return Status::bad_dtype;
  std::vector<std::int64_t> first(n + 1, 0);  // first[k]: index of the first chunk of segment k
  std::int64_t elements = 0;
  for (std::int64_t k = 0; k < n; ++k) {
    first[k + 1] = first[k] + (lengths[k] + kChunk - 1) / kChunk;
    elements += lengths[k];
  }
  const std::int64_t chunks = first[n];
  std::vector<double> sums(chunks);
  const std::int64_t batches = (chunks + kBatch - 1) / kBatch;

#pragma omp parallel for schedule(dynamic) num_threads(worth_threads(elements, kGrain, threads))
  for (std::int64_t batch = 0; batch < batches; ++batch) {
    const std::int64_t begin = batch * kBatch;
    const std::int64_t end = std::min(begin + kBatch, chunks);
    std::int64_t k = std::upper_bound(first.begin(), first.end(), begin) - first.begin() - 1;
    for (std::int64_t chunk = begin; chunk < end; ++chunk) {
      while (first[k + 1] <= chunk) ++k;
      const std::int64_t offset = (chunk - first[k]) * kChunk;
      sums[chunk] = chunk_sum(addresses[k], static_cast<DType>(dtypes[k]), offset,
                              std::min(kChunk, lengths[k] - offset));
    }
  }

  for (std::int64_t k = 0; k < n; ++k) {
    double sum = 0;
    for (std::int64_t chunk = first[k]; chunk < first[k + 1]; ++chunk) sum += sums[chunk];
    norms[k] = static_cast<float>(std::sqrt(sum));
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
