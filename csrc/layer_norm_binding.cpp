// layer_norm in tvtfast._C.

#include <cstdint>

#include "layer_norm.h"
#include "native_binding.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

void layer_norm(Address x, std::int64_t dtype, const Size& shape, std::int64_t row_stride,
                double eps, Address out, int set, int threads) {
  const tvt::LayerNorm task{at<const void>(x), at<void>(out), static_cast<tvt::DType>(dtype),
                            shape[0],          shape[1],      row_stride,
                            eps};
  call("layer_norm",
       [&] { return tvt::layer_norm(task, static_cast<tvt::VectorSet>(set), threads); });
}

const Registrar registrar([](py::module_& m) { m.def("layer_norm", &layer_norm); });

}  // namespace
