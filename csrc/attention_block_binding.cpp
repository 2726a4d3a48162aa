// attention_block in tvtfast._C.

#include <array>
#include <cstdint>
#include <vector>

#include "attention_block.h"
#include "native_binding.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

// Tensors in the order x, qkv_weight, qkv_bias, proj_weight, proj_bias, out; shape is images, tokens, channels and the
// channels of a head; strides of x and the two weights.
void attention_block(const std::array<Address, 6>& tensors, std::int64_t dtype, const Shape& shape,
                     const std::array<std::int64_t, 3>& stride,
                     const std::vector<std::int64_t>& heads, double scale, double eps, int set,
                     int threads) {
  const auto [x, qkv_weight, qkv_bias, proj_weight, proj_bias, out] = tensors;
  const tvt::AttentionBlock task{at<const void>(x),
                                 at<const void>(qkv_weight),
                                 at<const void>(qkv_bias),
                                 at<const void>(proj_weight),
                                 at<const void>(proj_bias),
                                 at<void>(out),
                                 static_cast<tvt::DType>(dtype),
                                 shape[0],
                                 shape[1],
                                 shape[2],
                                 heads.back(),
                                 shape[3],
                                 stride[0],
                                 stride[1],
                                 stride[2],
                                 heads.data(),
                                 static_cast<std::int64_t>(heads.size()),
                                 scale,
                                 eps};
  call("attention_block", [&] {
    return tvt::attention_block(task, static_cast<tvt::VectorSet>(set), threads);
  });
}

const Registrar registrar([](py::module_& m) { m.def("attention_block", &attention_block); });

}  // namespace
