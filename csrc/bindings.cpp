// Python module tvtfast._C: addresses, sizes and strides in; a failed call raises. Every operator defines itself in its
// own _binding.cpp; here is what belongs to none.

#ifdef _OPENMP
#include <omp.h>
#endif

#include <string>

#include "binding.h"
#include "target.h"
#include "vector_set.h"

namespace {

py::dict build_info() {
  py::dict info;
  info["instruction_set"] = tvt::instruction_set();
#ifdef _OPENMP
  info["openmp"] = _OPENMP;
  info["threads"] = omp_get_max_threads();
#else
  info["openmp"] = 0;
  info["threads"] = 1;
#endif
#if defined(__VERSION__)
  info["compiler"] = __VERSION__;
#elif defined(_MSC_FULL_VER)
  info["compiler"] = "MSVC " + std::to_string(_MSC_FULL_VER);
#else
  info["compiler"] = "unknown";
#endif
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.doc() = "CPU kernels of tvtfast.kernels. Addresses are not checked here; kernels/native does it.";
  tvt::binding::define_registered(m);
  m.def("vector_set", [](int fastest) {
    return static_cast<int>(tvt::vector_set(static_cast<tvt::VectorSet>(fastest)));
  });
  m.def("build_info", &build_info);
}
