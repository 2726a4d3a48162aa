// Python module tvtfast._cuda: device addresses, sizes, strides, device and stream in; a failed launch raises. Every
// operator defines itself in its own _cuda_binding.cpp; here is what belongs to none.

#include <string>

#include "binding.h"
#include "queue.h"

namespace {

// Why the driver cannot run these kernels on a device; empty where it can.
std::string probe(int device) {
  const tvt::cuda::Error error = tvt::cuda::probe(device);
  return error == 0 ? std::string() : tvt::cuda::describe(error);
}

py::dict build_info() {
  py::dict info;
  info["toolkit"] = tvt::cuda::toolkit_version();
  info["architectures"] = tvt::cuda::architectures();
  return info;
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  m.doc() = "CUDA kernels of tvtfast.kernels. Addresses are not checked here; kernels/cuda does it.";
  tvt::binding::define_registered(m);
  m.def("probe", &probe);
  m.def("build_info", &build_info);
}
