// slice_norms in tvtfast._C.

#include <cstdint>

#include "native_binding.h"
#include "slice_norms.h"

using namespace tvt::binding;

namespace {

void slice_norms(Address weight, std::int64_t dtype, std::int64_t row_stride, Address sizes,
                 std::int64_t n, std::int64_t rows, std::int64_t columns, Address norms,
                 int threads) {
  const tvt::Slices slices{at<const std::int64_t>(sizes), n, rows, columns};
  call("slice_norms", [&] {
    return tvt::slice_norms(at<const void>(weight), static_cast<tvt::DType>(dtype), row_stride,
                            slices, at<float>(norms), threads);
  });
}

const Registrar registrar([](py::module_& m) { m.def("slice_norms", &slice_norms); });

}  // namespace
