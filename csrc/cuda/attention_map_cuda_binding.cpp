// attention_map in tvtfast._cuda.

#include <cstdint>

#include "attention_map_cuda.h"
#include "cuda_binding.h"
#include "features_binding.h"

using namespace tvt::binding;

namespace {

std::int64_t attention_map_scratch(const Shape& shape, const Size& size, int device) {
  std::int64_t elements = 0;
  call("attention_map", device, [&] {
    return tvt::cuda::attention_map_scratch({device, 0}, features(0, 0, shape, {}, size), elements);
  });
  return elements;
}

void attention_map(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
                   const Size& size, Address map, Address norm, Address teacher,
                   std::int64_t teacher_rows, Address distance, Address scratch, int device,
                   Address stream) {
  const tvt::MapOutputs out{at<float>(map), at<float>(norm), at<const float>(teacher),
                            teacher_rows, at<float>(distance)};
  call("attention_map", device, [&] {
    return tvt::cuda::attention_map({device, stream}, features(x, dtype, shape, stride, size), out,
                                    at<double>(scratch));
  });
}

const Registrar registrar([](py::module_& m) {
  m.def("attention_map_scratch", &attention_map_scratch);
  m.def("attention_map", &attention_map);
});

}  // namespace
