// csrc's header of this name, with memory that is full of NaN.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>

#include "target.h"

namespace tvt {

inline std::int64_t whole_lines(std::int64_t floats) {
  constexpr std::int64_t kLine = kCacheLine / sizeof(float);
  return (floats + kLine - 1) / kLine * kLine;
}

class AlignedFloats {
 public:
  explicit AlignedFloats(std::int64_t count)
      : data_(static_cast<float*>(::operator new(count * sizeof(float), kAlignment))) {
    std::fill_n(data_, count, std::numeric_limits<float>::quiet_NaN());
  }
  AlignedFloats(AlignedFloats&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  ~AlignedFloats() { ::operator delete(data_, kAlignment); }

  float* data() const { return data_; }

 private:
  static constexpr std::align_val_t kAlignment{kCacheLine};
  float* data_;
};

}  // namespace tvt
