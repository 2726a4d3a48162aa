// attention_map in tvtfast._C.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "attention_map.h"
#include "features_binding.h"
#include "native_binding.h"

using namespace tvt::binding;

namespace {

void attention_map(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
                   const Size& size, Address map, Address norm, Address teacher,
                   std::int64_t teacher_rows, Address distance, int threads) {
  const tvt::MapOutputs out{at<float>(map), at<float>(norm), at<const float>(teacher),
                            teacher_rows, at<float>(distance)};
  call("attention_map", [&] {
    return tvt::attention_map(features(x, dtype, shape, stride, size), out, threads);
  });
}

void attention_map_distances(const std::vector<Address>& xs, std::int64_t dtype,
                             const std::vector<Shape>& shapes, const std::vector<Shape>& strides,
                             const Size& size, Address teacher, std::int64_t teacher_rows,
                             Address distances, int threads) {
  std::vector<tvt::Features> all;
  for (std::size_t k = 0; k < xs.size(); ++k) {
    all.push_back(features(xs[k], dtype, shapes[k], strides[k], size));
  }
  const tvt::MapOutputs out{nullptr, nullptr, at<const float>(teacher), teacher_rows,
                            at<float>(distances)};
  call("attention_map_distances",
       [&] { return tvt::attention_map_distances(all, out, threads); });
}

void attention_map_backward(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
                            const Size& size, Address map, Address norm, Address grad_map,
                            Address grad, int threads) {
  const tvt::MapGradient gradient{at<const float>(map), at<const float>(norm),
                                  at<const float>(grad_map), at<void>(grad)};
  call("attention_map_backward", [&] {
    return tvt::attention_map_backward(features(x, dtype, shape, stride, size), gradient, threads);
  });
}

const Registrar registrar([](py::module_& m) {
  m.def("attention_map", &attention_map);
  m.def("attention_map_distances", &attention_map_distances);
  m.def("attention_map_backward", &attention_map_backward);
});

}  // namespace
