// indexed in tvtfast._C.

#include "indexed.h"
#include "native_binding.h"

using namespace tvt::binding;

namespace {

void indexed_normal(Address out, const Shape& shape, std::uint64_t key, double scale, double shift,
                    int threads) {
  const tvt::Filled filled{at<float>(out), {shape[0], shape[1], shape[2], shape[3]}};
  call("indexed_normal", [&] {
    return tvt::indexed_normal(filled, key, static_cast<float>(scale), static_cast<float>(shift),
                               threads);
  });
}

void indexed_uniform(Address out, const Shape& shape, std::uint64_t key, double scale,
                     double shift, int threads) {
  const tvt::Filled filled{at<float>(out), {shape[0], shape[1], shape[2], shape[3]}};
  call("indexed_uniform", [&] {
    return tvt::indexed_uniform(filled, key, static_cast<float>(scale), static_cast<float>(shift),
                                threads);
  });
}

const Registrar registrar([](py::module_& m) {
  m.def("indexed_normal", &indexed_normal);
  m.def("indexed_uniform", &indexed_uniform);
});

}  // namespace
