// linear in tvtfast._C.

#include <array>
#include <cstdint>
#include <optional>

#include "linear.h"
#include "native_binding.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

void linear(const std::array<Address, 5>& tensors, std::int64_t dtype,
            const std::array<std::int64_t, 3>& shape,
            const std::array<std::int64_t, 4>& stride, std::optional<double> eps, bool gelu, int set,
            int threads) {
  const auto [x, weight, bias, residual, out] = tensors;
  const tvt::Linear task{at<const void>(x),
                         at<const void>(weight),
                         at<const void>(bias),
                         at<const void>(residual),
                         at<void>(out),
                         static_cast<tvt::DType>(dtype),
                         shape[0],
                         shape[1],
                         shape[2],
                         stride[0],
                         stride[1],
                         stride[2],
                         stride[3],
                         eps.has_value(),
                         eps.value_or(0.0),
                         gelu};
  call("linear", [&] { return tvt::linear(task, static_cast<tvt::VectorSet>(set), threads); });
}

const Registrar registrar([](py::module_& m) { m.def("linear", &linear); });

}  // namespace
