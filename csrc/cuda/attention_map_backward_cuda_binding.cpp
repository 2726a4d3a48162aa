// attention_map_backward in tvtfast._cuda.

#include <cstdint>

#include "attention_map_backward_cuda.h"
#include "cuda_binding.h"
#include "features_binding.h"

using namespace tvt::binding;

namespace {

void attention_map_backward(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
                            const Size& size, Address map, Address norm, Address grad_map,
                            Address grad, int device, Address stream) {
  const tvt::MapGradient gradient{at<const float>(map), at<const float>(norm),
                                  at<const float>(grad_map), at<void>(grad)};
  call("attention_map_backward", device, [&] {
    return tvt::cuda::attention_map_backward({device, stream},
                                             features(x, dtype, shape, stride, size), gradient);
  });
}

const Registrar registrar([](py::module_& m) { m.def("attention_map_backward", &attention_map_backward); });

}  // namespace
