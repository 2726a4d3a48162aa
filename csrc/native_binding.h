// What the bindings of tvtfast._C share.
#pragma once

#include <string>

#include "binding.h"
#include "dtype.h"

namespace tvt::binding {

// Runs a kernel without the interpreter lock.
template <typename Kernel>
void call(const char* name, const Kernel& kernel) {
  Status status;
  {
    py::gil_scoped_release release;
    status = kernel();
  }
  switch (status) {
    case Status::ok:
      return;
    case Status::bad_dtype:
      throw py::value_error(std::string(name) + ": unknown dtype code");
    case Status::out_of_memory:
      PyErr_SetString(PyExc_MemoryError, (std::string(name) + ": no memory for scratch").c_str());
      throw py::error_already_set();
  }
}

}  // namespace tvt::binding
