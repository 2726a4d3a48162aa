#include "attention_map.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "feature_loops.h"
#include "target.h"

namespace tvt {
namespace {

constexpr double kNormFloor = 1e-12;
constexpr std::int64_t kGrain = 1 << 16;           // elements per thread
constexpr std::int64_t kBlockElements = 1 << 15;   // floats of a block of channels: 128 KiB
constexpr std::int64_t kLaneMultiple = 16;

std::vector<Tap> taps(std::int64_t in, std::int64_t out) {
  std::vector<Tap> result(out);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  for (std::int64_t o = 0; o < out; ++o) {
    const double at = std::max(0.0, (static_cast<double>(o) + 0.5) * scale - 0.5);
    const std::int64_t low = std::min(static_cast<std::int64_t>(at), in - 1);
    const double weight = std::min(at - static_cast<double>(low), 1.0);
    result[o] = {low, std::min(low + 1, in - 1), static_cast<float>(weight)};
  }
  return result;
}

std::int64_t block_lanes(const Features& x) {
  const std::int64_t fitting = kBlockElements / (x.height * x.width);
  const std::int64_t wanted = std::min({fitting, x.channels + kLaneMultiple - 1, kMaxLanes});
  return std::max(wanted / kLaneMultiple, std::int64_t{1}) * kLaneMultiple;
}

// What every image of a call shares.
struct Plan {
  explicit Plan(const Features& x)
      : positions(x.out_height * x.out_width),
        resized(x.out_height != x.height || x.out_width != x.width),
        channels_adjacent(x.stride[3] == 1),
        row_taps(resized ? taps(x.height, x.out_height) : std::vector<Tap>()),
        column_taps(resized ? taps(x.width, x.out_width) : std::vector<Tap>()),
        block{x.width, resized ? block_lanes(x) : 0, row_taps.data(), x.out_height,
              column_taps.data(), x.out_width} {}

  std::int64_t block_elements(const Features& x) const { return x.height * x.width * block.lanes; }

  std::int64_t positions;
  bool resized;
  bool channels_adjacent;
  std::vector<Tap> row_taps;
  std::vector<Tap> column_taps;
  Block block;
};

// Rows whose positions follow each other at one stride are walked as one.
struct Rows {
  Rows(const Features& x, std::int64_t position_stride) {
    const bool joined = x.height == 1 || x.stride[1] == x.width * position_stride;
    count = joined ? 1 : x.height;
    length = joined ? x.height * x.width : x.width;
  }

  std::int64_t count;
  std::int64_t length;
};

template <typename T>
void load_block(const Features& x, const Plan& plan, const T* image, std::int64_t begin,
                float* block) {
  const std::int64_t channels = std::min(plan.block.lanes, x.channels - begin);
  for (std::int64_t row = 0; row < x.height; ++row) {
    load_row(image + row * x.stride[1] + begin * x.stride[3], x.width, x.stride[2], x.stride[3],
             channels, plan.block.lanes, block + row * x.width * plan.block.lanes);
  }
}

template <typename T>
void add_squares(const Features& x, const Plan& plan, const T* image, float* block, double* sums) {
  if (plan.resized) {
    for (std::int64_t begin = 0; begin < x.channels; begin += plan.block.lanes) {
      load_block(x, plan, image, begin, block);
      add_squares_resized(plan.block, block, sums);
    }
    return;
  }
  const Rows rows(x, x.stride[2]);
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const T* from = image + row * x.stride[1];
    double* to = sums + row * rows.length;
    if (plan.channels_adjacent) {
      add_squares_channels(from, rows.length, x.stride[2], x.channels, to);
    } else {
      add_squares_positions(from, rows.length, x.stride[3], x.channels, to);
    }
  }
}

// `!(norm <= floor)` lets a NaN through, to every position of its image.
double floored(double norm) { return !(norm <= kNormFloor) ? norm : kNormFloor; }

// Outputs of number `i` from the sums of image b.
void finish_image(const Features& x, const Plan& plan, const MapOutputs& out, std::int64_t i,
                  std::int64_t b, const double* sums) {
  const auto channels = static_cast<double>(x.channels);
  const double norm = std::sqrt(squared_norm(sums, plan.positions)) / channels;
  const double scale = 1 / (floored(norm) * channels);
  if (out.norm != nullptr) out.norm[i] = static_cast<float>(norm);
  if (out.map != nullptr) scale_map(sums, plan.positions, scale, out.map + i * plan.positions);
  if (out.teacher == nullptr) return;
  const float* teacher = out.teacher + b % out.teacher_rows * plan.positions;
  const double distance = squared_distance(sums, plan.positions, scale, teacher);
  out.distance[i] = static_cast<float>(distance / static_cast<double>(plan.positions));
}

// Calls body(worker, first image, last image) on up to `threads` threads; setup has run before, so body allocates
// nothing.
template <typename Body>
void over_images(std::int64_t images, int workers, const Body& body) {
#pragma omp parallel for schedule(static, 1) num_threads(workers)
  for (int worker = 0; worker < workers; ++worker) {
    body(worker, images * worker / workers, images * (worker + 1) / workers);
  }
}

// Features that one call walks differ in address, strides and channels.
int worker_count(const std::vector<Features>& xs, int threads) {
  std::int64_t elements = 0;
  std::int64_t images = 0;
  for (const Features& x : xs) {
    elements += x.images * x.channels * std::max(x.height * x.width, x.out_height * x.out_width);
    images += x.images;
  }
  return static_cast<int>(std::min<std::int64_t>(worth_threads(elements, kGrain, threads),
                                                 std::max<std::int64_t>(images, 1)));
}

// Image b of features k is image k * images + b of the call; its outputs are those of `out` with that number.
template <typename T>
void forward(const std::vector<Features>& xs, const MapOutputs& out, int threads) {
  const std::vector<Plan> plans(xs.begin(), xs.end());
  const int workers = worker_count(xs, threads);
  const std::int64_t images = xs.front().images;
  const std::int64_t positions = plans.front().positions;
  std::int64_t block_size = 0;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    block_size = std::max(block_size, plans[k].block_elements(xs[k]));
  }
  std::vector<double> sums(positions * workers);
  std::vector<float> blocks(block_size * workers);
  const auto count = static_cast<std::int64_t>(xs.size()) * images;
  over_images(count, workers, [&](int worker, std::int64_t begin, std::int64_t end) {
    double* own_sums = sums.data() + worker * positions;
    float* own_block = blocks.data() + worker * block_size;
    for (std::int64_t i = begin; i < end; ++i) {
      const Features& x = xs[i / images];
      const Plan& plan = plans[i / images];
      const T* image = static_cast<const T*>(x.data) + i % images * x.stride[0];
      std::fill(own_sums, own_sums + positions, 0.0);
      add_squares(x, plan, image, own_block, own_sums);
      finish_image(x, plan, out, i, i % images, own_sums);
    }
  });
}

// scale[p] = (2 / C) ds_p with ds = (g - a (g . a)) / n above the floor, g / floor at it.
void gradient_scale(const Features& x, const Plan& plan, const MapGradient& gradient,
                    std::int64_t b, float* scale) {
  const float* map = gradient.map + b * plan.positions;
  const float* grad_map = gradient.grad_map + b * plan.positions;
  const double norm = gradient.norm[b];
  const double projection = norm <= kNormFloor ? 0 : inner_product(grad_map, map, plan.positions);
  const double factor = 2 / (floored(norm) * static_cast<double>(x.channels));
  for (std::int64_t p = 0; p < plan.positions; ++p) {
    scale[p] = static_cast<float>((grad_map[p] - map[p] * projection) * factor);
  }
}

template <typename T>
void scale_image(const Features& x, const Plan& plan, const T* image, const float* scale,
                 T* grad) {
  const Rows rows(x, x.stride[2]);
  const std::int64_t positions = x.height * x.width;
  for (std::int64_t row = 0; row < rows.count; ++row) {
    const T* from = image + row * x.stride[1];
    const std::int64_t first = row * rows.length;
    if (plan.channels_adjacent) {
      scale_channels(from, rows.length, x.stride[2], x.channels, scale + first,
                     grad + first * x.channels);
    } else {
      for (std::int64_t c = 0; c < x.channels; ++c) {
        scale_positions(from + c * x.stride[3], rows.length, scale + first,
                        grad + c * positions + first);
      }
    }
  }
}

template <typename T>
void resized_gradient(const Features& x, const Plan& plan, const T* image, const float* scale,
                      float* block, float* block_grad, T* grad) {
  const std::int64_t positions = x.height * x.width;
  const std::int64_t position_stride = plan.channels_adjacent ? x.channels : 1;
  const std::int64_t channel_stride = plan.channels_adjacent ? 1 : positions;
  for (std::int64_t begin = 0; begin < x.channels; begin += plan.block.lanes) {
    load_block(x, plan, image, begin, block);
    std::fill(block_grad, block_grad + positions * plan.block.lanes, 0.0f);
    add_resize_adjoint(plan.block, block, scale, block_grad);
    store_row(block_grad, positions, position_stride, channel_stride,
              std::min(plan.block.lanes, x.channels - begin), plan.block.lanes,
              grad + begin * channel_stride);
  }
}

template <typename T>
void backward(const Features& x, const MapGradient& gradient, int threads) {
  const Plan plan(x);
  const int workers = worker_count({x}, threads);
  const std::int64_t block_size = plan.block_elements(x);
  std::vector<float> scales(plan.positions * workers);
  std::vector<float> blocks(2 * block_size * workers);
  const std::int64_t image_size = x.height * x.width * x.channels;
  over_images(x.images, workers, [&](int worker, std::int64_t begin, std::int64_t end) {
    float* scale = scales.data() + worker * plan.positions;
    float* block = blocks.data() + worker * 2 * block_size;
    for (std::int64_t b = begin; b < end; ++b) {
      const T* image = static_cast<const T*>(x.data) + b * x.stride[0];
      T* grad = static_cast<T*>(gradient.grad) + b * image_size;
      gradient_scale(x, plan, gradient, b, scale);
      if (plan.resized) {
        resized_gradient(x, plan, image, scale, block, block + block_size, grad);
      } else {
        scale_image(x, plan, image, scale, grad);
      }
    }
  });
}

}  // namespace

Status attention_map(const Features& x, const MapOutputs& out, int threads) {
  return attention_map_distances({x}, out, threads);
}

Status attention_map_distances(const std::vector<Features>& xs, const MapOutputs& out,
                               int threads) try {
  switch (xs.front().dtype) {
    case DType::f32:
      forward<float>(xs, out, threads);
      return Status::ok;
    case DType::f16:
      forward<Half>(xs, out, threads);
      return Status::ok;
    case DType::bf16:
      forward<BFloat16>(xs, out, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

Status attention_map_backward(const Features& x, const MapGradient& gradient, int threads) try {
  switch (x.dtype) {
    case DType::f32:
      backward<float>(x, gradient, threads);
      return Status::ok;
    case DType::f16:
      backward<Half>(x, gradient, threads);
      return Status::ok;
    case DType::bf16:
      backward<BFloat16>(x, gradient, threads);
      return Status::ok;
  }
  return Status::bad_dtype;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace tvt
