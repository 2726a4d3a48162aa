// How an operator comes into a Python module: its own <operator>_binding.cpp registers what defines it there, and the
// module, which names no operator, runs all that were registered. Objects are linked directly, so none is dropped;
// symbols are hidden, so tvtfast._C and tvtfast._cuda have a list each.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <vector>

namespace py = pybind11;

namespace tvt::binding {

using Address = std::uintptr_t;
using Shape = std::array<std::int64_t, 4>;
using Size = std::array<std::int64_t, 2>;

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

using Define = void (*)(py::module_&);

// A local of a function: it exists before the first registrar of any file, whatever their order.
inline std::vector<Define>& registered() {
  static std::vector<Define> all;
  return all;
}

struct Registrar {
  explicit Registrar(Define define) { registered().push_back(define); }
};

inline void define_registered(py::module_& m) {
  for (const Define define : registered()) define(m);
}

}  // namespace tvt::binding
