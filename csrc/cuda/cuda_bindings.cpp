// Python module tvtfast._cuda: device addresses, sizes, strides, device and stream in; a failed launch raises. The only
// pybind11 file of the CUDA part.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "operators.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;
using Shape = std::array<std::int64_t, 4>;
using Size = std::array<std::int64_t, 2>;

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Runs body() without the interpreter lock.
template <typename Body>
void call(const char* name, int device, const Body& body) {
  tvt::cuda::Error error;
  {
    py::gil_scoped_release release;
    error = body();
  }
  if (error == 0) return;
  throw std::runtime_error(std::string(name) + " on cuda:" + std::to_string(device) + ": " +
                           tvt::cuda::describe(error));
}

tvt::Features features(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
                       const Size& size) {
  return {at<const void>(x),
          static_cast<tvt::DType>(dtype),
          shape[0],
          shape[1],
          shape[2],
          shape[3],
          {stride[0], stride[1], stride[2], stride[3]},
          size[0],
          size[1]};
}

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

void segment_norms(Address addresses, Address lengths, Address dtypes, Address first,
                   Address segment_of, std::int64_t segments, std::int64_t chunks, Address scratch,
                   Address norms, int device, Address stream) {
  const tvt::cuda::Segments table{at<const std::int64_t>(addresses),
                                  at<const std::int64_t>(lengths),
                                  at<const std::int64_t>(dtypes),
                                  at<const std::int64_t>(first),
                                  at<const std::int64_t>(segment_of),
                                  segments,
                                  chunks};
  call("segment_norms", device, [&] {
    return tvt::cuda::segment_norms({device, stream}, table, at<double>(scratch), at<float>(norms));
  });
}

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
  m.attr("CHUNK") = tvt::cuda::kChunk;
  m.def("attention_map_scratch", &attention_map_scratch);
  m.def("attention_map", &attention_map);
  m.def("attention_map_backward", &attention_map_backward);
  m.def("segment_norms", &segment_norms);
  m.def("indexed_normal", &indexed_normal);
  m.def("indexed_uniform", &indexed_uniform);
  m.def("probe", &probe);
  m.def("build_info", &build_info);
}
