// Features from the arguments that every binding on features takes.
#pragma once

#include "attention_map.h"
#include "binding.h"

namespace tvt::binding {

inline tvt::Features features(Address x, std::int64_t dtype, const Shape& shape, const Shape& stride,
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

}  // namespace tvt::binding
