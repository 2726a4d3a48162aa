// indexed in tvtfast._cuda.

#include "cuda_binding.h"
#include "indexed_cuda.h"

using namespace tvt::binding;

namespace {

tvt::Filled filled(Address out, const Shape& shape) {
  return {at<float>(out), {shape[0], shape[1], shape[2], shape[3]}};
}

void indexed_normal(Address out, const Shape& shape, std::uint64_t key, double scale, double shift,
                    int device, Address stream) {
  call("indexed_normal_", device, [&] {
    return tvt::cuda::indexed_normal({device, stream}, filled(out, shape), key,
                                     static_cast<float>(scale), static_cast<float>(shift));
  });
}

void indexed_uniform(Address out, const Shape& shape, std::uint64_t key, double scale,
                     double shift, int device, Address stream) {
  call("indexed_uniform_", device, [&] {
    return tvt::cuda::indexed_uniform({device, stream}, filled(out, shape), key,
                                      static_cast<float>(scale), static_cast<float>(shift));
  });
}

const Registrar registrar([](py::module_& m) {
  m.def("indexed_normal", &indexed_normal);
  m.def("indexed_uniform", &indexed_uniform);
});

}  // namespace
