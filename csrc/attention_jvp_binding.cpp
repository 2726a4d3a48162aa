// attention_jvp in tvtfast._C.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "attention_jvp.h"
#include "native_binding.h"

using namespace tvt::binding;

namespace {

// Operands in the order q, k, v, and their tangents.
void attention_jvp(const std::array<Address, 6>& operands, const std::array<Shape, 6>& strides,
                   std::int64_t dtype, const Shape& shape, double scale, Address out,
                   Address tangent, int threads) {
  tvt::DualHeads heads{};
  for (std::size_t i = 0; i < operands.size(); ++i) {
    heads.operands[i] = at<const void>(operands[i]);
    std::copy_n(strides[i].begin(), 3, heads.strides[i]);
  }
  heads.dtype = static_cast<tvt::DType>(dtype);
  heads.images = shape[0];
  heads.heads = shape[1];
  heads.tokens = shape[2];
  heads.width = shape[3];
  heads.scale = scale;
  heads.out = at<void>(out);
  heads.tangent = at<void>(tangent);
  call("attention_jvp", [&] { return tvt::attention_jvp(heads, threads); });
}

const Registrar registrar([](py::module_& m) { m.def("attention_jvp", &attention_jvp); });

}  // namespace
