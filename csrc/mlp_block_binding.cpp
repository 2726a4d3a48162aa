// mlp_block in tvtfast._C.

#include <array>
#include <cstdint>
#include <vector>

#include "mlp_block.h"
#include "native_binding.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

// Tensors in the order x, w1, b1, w2, b2, out; strides of x, w1 and w2.
void mlp_block(const std::array<Address, 6>& tensors, std::int64_t dtype, const Size& shape,
               const std::array<std::int64_t, 3>& stride, const std::vector<std::int64_t>& hidden,
               double eps, int set, int threads) {
  const auto [x, w1, b1, w2, b2, out] = tensors;
  const tvt::MLPBlock task{at<const void>(x),
                           at<const void>(w1),
                           at<const void>(b1),
                           at<const void>(w2),
                           at<const void>(b2),
                           at<void>(out),
                           static_cast<tvt::DType>(dtype),
                           shape[0],
                           shape[1],
                           stride[0],
                           stride[1],
                           stride[2],
                           hidden.data(),
                           static_cast<std::int64_t>(hidden.size()),
                           eps};
  call("mlp_block", [&] { return tvt::mlp_block(task, static_cast<tvt::VectorSet>(set), threads); });
}

const Registrar registrar([](py::module_& m) { m.def("mlp_block", &mlp_block); });

}  // namespace
