// Python module tvtfast._C: addresses, sizes and strides in; a failed call raises. The only pybind11 file.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attention_block.h"
#include "attention_jvp.h"
#include "attention_map.h"
#include "indexed.h"
#include "layer_norm.h"
#include "linear.h"
#include "mlp_block.h"
#include "packed_attention.h"
#include "segment_norms.h"
#include "self_attention_stats.h"
#include "slice_norms.h"
#include "target.h"
#include "vector_set.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;
using Shape = std::array<std::int64_t, 4>;
using Size = std::array<std::int64_t, 2>;

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

// Runs a kernel without the interpreter lock.
template <typename Kernel>
void call(const char* name, const Kernel& kernel) {
  tvt::Status status;
  {
    py::gil_scoped_release release;
    status = kernel();
  }
  switch (status) {
    case tvt::Status::ok:
      return;
    case tvt::Status::bad_dtype:
      throw py::value_error(std::string(name) + ": unknown dtype code");
    case tvt::Status::out_of_memory:
      PyErr_SetString(PyExc_MemoryError, (std::string(name) + ": no memory for scratch").c_str());
      throw py::error_already_set();
  }
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

void layer_norm(Address x, std::int64_t dtype, const Size& shape, std::int64_t row_stride,
                double eps, Address out, int set, int threads) {
  const tvt::LayerNorm task{at<const void>(x), at<void>(out), static_cast<tvt::DType>(dtype),
                            shape[0],          shape[1],      row_stride,
                            eps};
  call("layer_norm",
       [&] { return tvt::layer_norm(task, static_cast<tvt::VectorSet>(set), threads); });
}

void linear(const std::array<Address, 5>& tensors, std::int64_t dtype,
            const std::array<std::int64_t, 3>& shape,
            const std::array<std::int64_t, 4>& stride, std::optional<double> eps, bool gelu, int set,
            int threads) {
  const auto [x, weight, bias, residual, out] = tensors;
  const tvt::Linear task{at<const void>(x),
                         at<const void>(weight),
                         at<const void>(bias),
                         at<const void>(residual),
                         at<void>(out),
                         static_cast<tvt::DType>(dtype),
                         shape[0],
                         shape[1],
                         shape[2],
                         stride[0],
                         stride[1],
                         stride[2],
                         stride[3],
                         eps.has_value(),
                         eps.value_or(0.0),
                         gelu};
  call("linear", [&] { return tvt::linear(task, static_cast<tvt::VectorSet>(set), threads); });
}

// Tensors in the order x, w1, b1, w2, b2, out; strides of x, w1 and w2.
void mlp_block(const std::array<Address, 6>& tensors, std::int64_t dtype, const Size& shape,
               const std::array<std::int64_t, 3>& stride, const std::vector<std::int64_t>& hidden,
               double eps, int set, int threads) {
  const auto [x, w1, b1, w2, b2, out] = tensors;
  const tvt::MLPBlock task{at<const void>(x),
                           at<const void>(w1),
                           at<const void>(b1),
                           at<const void>(w2),
                           at<const void>(b2),
                           at<void>(out),
                           static_cast<tvt::DType>(dtype),
                           shape[0],
                           shape[1],
                           stride[0],
                           stride[1],
                           stride[2],
                           hidden.data(),
                           static_cast<std::int64_t>(hidden.size()),
                           eps};
  call("mlp_block", [&] { return tvt::mlp_block(task, static_cast<tvt::VectorSet>(set), threads); });
}

// Tensors in the order x, qkv_weight, qkv_bias, proj_weight, proj_bias, out; shape is images, tokens, channels and the
// channels of a head; strides of x and the two weights.
void attention_block(const std::array<Address, 6>& tensors, std::int64_t dtype, const Shape& shape,
                     const std::array<std::int64_t, 3>& stride,
                     const std::vector<std::int64_t>& heads, double scale, double eps, int set,
                     int threads) {
  const auto [x, qkv_weight, qkv_bias, proj_weight, proj_bias, out] = tensors;
  const tvt::AttentionBlock task{at<const void>(x),
                                 at<const void>(qkv_weight),
                                 at<const void>(qkv_bias),
                                 at<const void>(proj_weight),
                                 at<const void>(proj_bias),
                                 at<void>(out),
                                 static_cast<tvt::DType>(dtype),
                                 shape[0],
                                 shape[1],
                                 shape[2],
                                 heads.back(),
                                 shape[3],
                                 stride[0],
                                 stride[1],
                                 stride[2],
                                 heads.data(),
                                 static_cast<std::int64_t>(heads.size()),
                                 scale,
                                 eps};
  call("attention_block", [&] {
    return tvt::attention_block(task, static_cast<tvt::VectorSet>(set), threads);
  });
}

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

void segment_norms(Address addresses, Address lengths, Address dtypes, std::int64_t n,
                   Address norms, int threads) {
  call("segment_norms", [&] {
    return tvt::segment_norms(at<const std::int64_t>(addresses), at<const std::int64_t>(lengths),
                              at<const std::int64_t>(dtypes), n, at<float>(norms), threads);
  });
}

void slice_norms(Address weight, std::int64_t dtype, std::int64_t row_stride, Address sizes,
                 std::int64_t n, std::int64_t rows, std::int64_t columns, Address norms,
                 int threads) {
  const tvt::Slices slices{at<const std::int64_t>(sizes), n, rows, columns};
  call("slice_norms", [&] {
    return tvt::slice_norms(at<const void>(weight), static_cast<tvt::DType>(dtype), row_stride,
                            slices, at<float>(norms), threads);
  });
}

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

// Outputs in the order of tvt::AttentionOutputs; 0 where one is not asked for.
void self_attention_stats(Address q, Address k, std::int64_t dtype, const Shape& shape,
                          const Shape& q_stride, const Shape& k_stride, double scale,
                          const std::array<Address, 6>& out, int threads) {
  const tvt::Heads heads{at<const void>(q),
                         at<const void>(k),
                         static_cast<tvt::DType>(dtype),
                         shape[0],
                         shape[1],
                         shape[2],
                         shape[3],
                         {q_stride[0], q_stride[1], q_stride[2]},
                         {k_stride[0], k_stride[1], k_stride[2]},
                         scale};
  const tvt::AttentionOutputs outputs{at<float>(out[0]), at<float>(out[1]),
                                      at<float>(out[2]), at<float>(out[3]),
                                      at<const float>(out[4]), at<float>(out[5])};
  call("self_attention_stats",
       [&] { return tvt::self_attention_stats(heads, outputs, threads); });
}

// Operands in the order q, k, v, and their tangents.
void attention_jvp(const std::array<Address, 6>& operands, const std::array<Shape, 6>& strides,
                   std::int64_t dtype, const Shape& shape, double scale, Address out,
                   Address tangent, int threads) {
  tvt::DualHeads heads{};
  for (std::size_t i = 0; i < operands.size(); ++i) {
    heads.operands[i] = at<const void>(operands[i]);
    std::copy_n(strides[i].begin(), 3, heads.strides[i]);
  }
  heads.dtype = static_cast<tvt::DType>(dtype);
  heads.images = shape[0];
  heads.heads = shape[1];
  heads.tokens = shape[2];
  heads.width = shape[3];
  heads.scale = scale;
  heads.out = at<void>(out);
  heads.tangent = at<void>(tangent);
  call("attention_jvp", [&] { return tvt::attention_jvp(heads, threads); });
}

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
  m.def("attention_block", &attention_block);
  m.def("attention_jvp", &attention_jvp);
  m.def("attention_map", &attention_map);
  m.def("attention_map_distances", &attention_map_distances);
  m.def("attention_map_backward", &attention_map_backward);
  m.def("packed_attention", &packed_attention);
  m.def("layer_norm", &layer_norm);
  m.def("linear", &linear);
  m.def("mlp_block", &mlp_block);
  m.def("vector_set", [] { return static_cast<int>(tvt::vector_set()); });
  m.def("segment_norms", &segment_norms);
  m.def("slice_norms", &slice_norms);
  m.def("indexed_normal", &indexed_normal);
  m.def("indexed_uniform", &indexed_uniform);
  m.def("self_attention_stats", &self_attention_stats);
  m.def("build_info", &build_info);
}
