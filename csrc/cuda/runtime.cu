#include <algorithm>
#include <string>

#include "launch.cuh"

#define TVT_STRINGIFY(...) #__VA_ARGS__
#define TVT_STRING(...) TVT_STRINGIFY(__VA_ARGS__)

namespace tvt::cuda {
namespace {

__global__ void probe_kernel() {}

}  // namespace

Error probe(int device) {
  return on_device({device, 0}, [](cudaStream_t) {
    cudaFuncAttributes attributes;
    cudaFuncGetAttributes(&attributes, probe_kernel);
  });
}

std::string describe(Error error) {
  const auto code = static_cast<cudaError_t>(error);
  return std::string(cudaGetErrorString(code)) + " (" + cudaGetErrorName(code) + ")";
}

std::string toolkit_version() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

// The macro lists ten times the number of every target, such as 800,900.
std::string architectures() {
  const std::string list = TVT_STRING(__CUDA_ARCH_LIST__);
  std::string result;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    result += (result.empty() ? "sm_" : ", sm_") + list.substr(begin, end - begin - 1);
    begin = end + 1;
  }
  return result;
}

}  // namespace tvt::cuda
