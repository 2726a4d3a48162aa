// packed_attention in tvtfast._C.

#include <cstdint>

#include "native_binding.h"
#include "packed_attention.h"
#include "vector_set.h"

using namespace tvt::binding;

namespace {

void packed_attention(Address qkv, std::int64_t dtype, const Shape& shape, const Size& stride,
                      double scale, Address out, int set, int threads) {
  const tvt::PackedAttention task{at<const void>(qkv),
                                  at<void>(out),
                                  static_cast<tvt::DType>(dtype),
                                  shape[0],
                                  shape[1],
                                  shape[2],
                                  shape[3],
                                  stride[0],
                                  stride[1],
                                  scale};
  call("packed_attention", [&] {
    return tvt::packed_attention(task, static_cast<tvt::VectorSet>(set), threads);
  });
}

const Registrar registrar([](py::module_& m) { m.def("packed_attention", &packed_attention); });

}  // namespace
