#include "attention_block.h"

#include <algorithm>
#include <new>
#include <vector>

#include "aligned_floats.h"
#include "attention_head.h"
#include "linear.h"
#include "linear_kernels.h"
#include "packed_weight.h"
#include "target.h"

namespace tvt {
namespace {

constexpr std::int64_t kGrain = 1 << 19;     // multiplications per thread
constexpr std::int64_t kQkvBytes = 1 << 19;  // of queries, keys and values, at once and per thread

Linear qkv_layer(const AttentionBlock& task, std::int64_t qkv_stride) {
  Linear layer{};
  layer.x = task.x;
  layer.weight = task.qkv_weight;
  layer.bias = task.qkv_bias;
  layer.dtype = task.dtype;
  layer.rows = task.images * task.tokens;
  layer.inputs = task.channels;
  layer.outputs = 3 * task.heads * task.dim;
  layer.x_stride = task.x_stride;
  layer.weight_stride = task.qkv_stride;
  layer.out_stride = qkv_stride;
  layer.norm = true;
  layer.eps = task.eps;
  return layer;
}

Linear projection(const AttentionBlock& task, std::int64_t mixed_stride, std::int64_t a) {
  Linear layer{};
  layer.weight = task.proj_weight;
  layer.bias = task.proj_bias;
  layer.residual = task.x;
  layer.dtype = task.dtype;
  layer.rows = task.images * task.tokens;
  layer.inputs = task.alternatives[a] * task.dim;
  layer.outputs = task.channels;
  layer.x_stride = mixed_stride;
  layer.weight_stride = task.proj_stride;
  layer.residual_stride = task.x_stride;
  layer.out_stride = task.channels;
  layer.out = static_cast<char*>(task.out) +
              a * layer.rows * task.channels * element_size(task.dtype);
  return layer;
}

// What all heads have in common.
AttentionHead head_of(const AttentionBlock& task, std::int64_t qkv_stride,
                      std::int64_t mixed_stride) {
  AttentionHead head{};
  head.dtype = task.dtype;
  head.row_stride = qkv_stride;
  head.out_stride = mixed_stride;
  head.tokens = task.tokens;
  head.dim = task.dim;
  head.scale = task.scale;
  head.parts = 1;
  return head;
}

// All heads of some images, from rows of queries, keys and values to rows of mixed values.
void mix(const AttentionKernel& kernel, AttentionHead head, std::int64_t images, std::int64_t heads,
         const void* qkv, void* mixed) {
  const std::int64_t size = element_size(head.dtype), inner = heads * head.dim * size;
  for (std::int64_t item = 0; item < images * heads; ++item) {
    const std::int64_t row = item / heads * head.tokens, column = item % heads * head.dim;
    const char* const q = static_cast<const char*>(qkv) + (row * head.row_stride + column) * size;
    head.q = q;
    head.k = q + inner;
    head.v = q + 2 * inner;
    head.out = static_cast<char*>(mixed) + (row * head.out_stride + column) * size;
    kernel.run(head);
  }
}

}  // namespace

Status attention_block(const AttentionBlock& task, VectorSet set, int threads) try {
  const std::int64_t size = element_size(task.dtype), inner = task.heads * task.dim;
  const std::int64_t work =
      task.images * task.tokens * inner * (4 * task.channels + 2 * task.tokens);
  if (work == 0) return Status::ok;
  const LinearKernel kernel = linear_kernel_for(set, task.dtype);
  const AttentionKernel attend = attention_kernel_for(set, task.dtype);
  const std::int64_t qkv_bytes = odd_lines(3 * inner * size), mixed_bytes = odd_lines(inner * size);
  const int workers = static_cast<int>(
      std::min<std::int64_t>(worth_threads(work, kGrain, threads), task.images));
  const std::int64_t group =
      std::clamp<std::int64_t>(kQkvBytes / (task.tokens * qkv_bytes), 1, task.images);

  const Linear qkv = qkv_layer(task, qkv_bytes / size);
  const PackedWeight qkv_weight(kernel, qkv, workers);
  std::vector<Linear> projections;
  std::vector<PackedWeight> weights;
  std::int64_t scratch =
      std::max(tile_floats(kernel, qkv), attend.scratch_floats(task.tokens, task.dim));
  for (std::int64_t a = 0; a < task.count; ++a) {
    projections.push_back(projection(task, mixed_bytes / size, a));
    weights.emplace_back(kernel, projections.back(), workers);
    scratch = std::max(scratch, tile_floats(kernel, projections.back()));
  }
  const std::int64_t qkv_floats = group * task.tokens * qkv_bytes / sizeof(float);
  const std::int64_t mixed_floats = group * task.tokens * mixed_bytes / sizeof(float);
  const std::int64_t floats = qkv_floats + mixed_floats + scratch;
  const AlignedFloats memory(workers * floats);

#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    float* const in = memory.data() + worker * floats;
    float* const mixed = in + qkv_floats;
    float* const room = mixed + mixed_floats;
    AttentionHead head = head_of(task, qkv_bytes / size, mixed_bytes / size);
    head.scratch = room;
    const std::int64_t end = task.images * (worker + 1) / workers;
    for (std::int64_t image = task.images * worker / workers; image < end; image += group) {
      const std::int64_t images = std::min(group, end - image);
      const std::int64_t row = image * task.tokens, rows = images * task.tokens;
      Linear enter = rows_of(qkv, row, row + rows);
      enter.out = in;
      multiply(kernel, enter, 0, rows, qkv_weight, room);
      mix(attend, head, images, task.heads, in, mixed);
      for (std::int64_t a = 0; a < task.count; ++a) {
        Linear leave = rows_of(projections[a], row, row + rows);
        leave.x = mixed;
        multiply(kernel, leave, 0, rows, weights[a], room);
      }
    }
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
