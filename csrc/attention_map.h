// Attention maps of a batch of images: a_p = s_p / max(||s||, 1e-12), s_p = mean over channels of x_p^2.
#pragma once

#include <cstdint>
#include <vector>

#include "dtype.h"

namespace tvt {

// Features [images, height, width, channels] with strides in elements; either channels (stride[3] == 1) or
// columns (stride[2] == 1) are adjacent. They are resized to [out_height, out_width], bilinearly with half-pixel
// centres, before anything is squared.
struct Features {
  const void* data;
  DType dtype;
  std::int64_t images, height, width, channels;
  std::int64_t stride[4];
  std::int64_t out_height, out_width;
};

// Outputs and, optionally, a teacher; positions = out_height * out_width. attention_map_distances needs neither map nor
// norm.
struct MapOutputs {
  float* map;            // [images, positions]
  float* norm;           // [images], before its floor
  const float* teacher;  // [teacher_rows, positions], or null: image b meets row b % teacher_rows
  std::int64_t teacher_rows;
  float* distance;       // [images], mean squared difference to the teacher; written if there is one
};

// Inputs and output of the gradient of the map.
struct MapGradient {
  const float* map;       // [images, positions]
  const float* norm;      // [images]
  const float* grad_map;  // [images, positions]
  void* grad;             // dense, of the type of the features: [images, height, width, channels] where
                          // channels are adjacent in them, else [images, channels, height, width]
};

// Results do not depend on `threads`.
Status attention_map(const Features& x, const MapOutputs& out, int threads);
// Features that differ in address, strides and channels only; out.distance is [xs.size(), images].
Status attention_map_distances(const std::vector<Features>& xs, const MapOutputs& out, int threads);
Status attention_map_backward(const Features& x, const MapGradient& gradient, int threads);

}  // namespace tvt
