// segment_norms in tvtfast._C.

#include <cstdint>

#include "native_binding.h"
#include "segment_norms.h"

using namespace tvt::binding;

namespace {

void segment_norms(Address addresses, Address lengths, Address dtypes, std::int64_t n,
                   Address norms, int threads) {
  call("segment_norms", [&] {
    return tvt::segment_norms(at<const std::int64_t>(addresses), at<const std::int64_t>(lengths),
                              at<const std::int64_t>(dtypes), n, at<float>(norms), threads);
  });
}

const Registrar registrar([](py::module_& m) { m.def("segment_norms", &segment_norms); });

}  // namespace
