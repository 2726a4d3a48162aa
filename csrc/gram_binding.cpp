// gram in tvtfast._C.

#include <array>
#include <cstdint>

#include "gram.h"
#include "native_binding.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

void gram(Address x, Address y, Address out, std::int64_t dtype,
          const std::array<std::int64_t, 3>& shape, const Size& x_stride, const Size& y_shape,
          const Size& y_stride, bool relative, int set, int threads) {
  const tvt::Gram task{at<const void>(x),
                       at<const void>(y),
                       at<float>(out),
                       static_cast<tvt::DType>(dtype),
                       shape[0],
                       shape[1],
                       shape[2],
                       y_shape[0],
                       y_shape[1],
                       x_stride[0],
                       x_stride[1],
                       y_stride[0],
                       y_stride[1],
                       relative};
  call("gram", [&] { return tvt::gram(task, static_cast<tvt::VectorSet>(set), threads); });
}

const Registrar registrar([](py::module_& m) { m.def("gram", &gram); });

}  // namespace
