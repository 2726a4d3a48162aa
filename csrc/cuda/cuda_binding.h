// What the bindings of tvtfast._cuda share.
#pragma once

#include <stdexcept>
#include <string>

#include "binding.h"
#include "queue.h"

namespace tvt::binding {

// Runs body() without the interpreter lock.
template <typename Body>
void call(const char* name, int device, const Body& body) {
  cuda::Error error;
  {
    py::gil_scoped_release release;
    error = body();
  }
  if (error == 0) return;
  throw std::runtime_error(std::string(name) + " on cuda:" + std::to_string(device) + ": " +
                           cuda::describe(error));
}

}  // namespace tvt::binding
