#include "packed_attention.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "aligned_floats.h"
#include "attention_head.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;  // multiplications per thread
constexpr std::int64_t kItems = 8;        // items per thread, so that threads end together

// Item of the work: a part of the tiles of a head of an image.
AttentionHead head_of(const PackedAttention& task, std::int64_t item, std::int64_t parts) {
  const std::int64_t image = item / parts / task.heads, head = item / parts % task.heads;
  const std::int64_t size = element_size(task.dtype), inner = task.heads * task.dim;
  const char* q = static_cast<const char*>(task.qkv) +
                  (image * task.image_stride + head * task.dim) * size;
  AttentionHead result{};
  result.q = q;
  result.k = q + inner * size;
  result.v = q + 2 * inner * size;
  result.out =
      static_cast<char*>(task.out) + (image * task.tokens * inner + head * task.dim) * size;
  result.dtype = task.dtype;
  result.row_stride = task.row_stride;
  result.out_stride = inner;
  result.tokens = task.tokens;
  result.dim = task.dim;
  result.scale = task.scale;
  result.part = item % parts;
  result.parts = parts;
  return result;
}

}  // namespace

Status packed_attention(const PackedAttention& task, VectorSet set, int threads) try {
  const AttentionKernel kernel = attention_kernel_for(set, task.dtype);
  const std::int64_t heads = task.images * task.heads;
  const std::int64_t work = heads * task.tokens * task.tokens * task.dim;
  if (work == 0) return Status::ok;
  const int workers = worth_threads(work, kGrain, threads);
  const std::int64_t tiles = divide_up(task.tokens, kernel.tile);
  const std::int64_t parts =
      workers == 1 ? 1 : std::clamp(divide_up(kItems * workers, heads), std::int64_t{1}, tiles);

  const std::int64_t scratch = kernel.scratch_floats(task.tokens, task.dim);
  const AlignedFloats memory(scratch * workers);

  const std::int64_t items = heads * parts;
  std::atomic<std::int64_t> next{0};
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    for (std::int64_t item = next++; item < items; item = next++) {
      AttentionHead head = head_of(task, item, parts);
      head.scratch = memory.data() + worker * scratch;
      kernel.run(head);
    }
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
