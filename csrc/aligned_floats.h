// Memory for vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "target.h"

namespace tvt {

inline std::int64_t whole_lines(std::int64_t floats) {
  constexpr std::int64_t kLine = kCacheLine / sizeof(float);
  return (floats + kLine - 1) / kLine * kLine;
}

// Uninitialised floats that start with a cache line.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::int64_t count)
      : memory_(new float[count + kCacheLine / sizeof(float)]) {
    void* start = memory_.get();
    std::size_t room = (count + kCacheLine / sizeof(float)) * sizeof(float);
    data_ = static_cast<float*>(std::align(kCacheLine, count * sizeof(float), start, room));
  }

  float* data() const { return data_; }

 private:
  std::unique_ptr<float[]> memory_;
  float* data_;
};

}  // namespace tvt
