// self_attention_stats in tvtfast._C.

#include <array>
#include <cstdint>

#include "native_binding.h"
#include "self_attention_stats.h"

using namespace tvt::binding;

namespace {

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

const Registrar registrar([](py::module_& m) { m.def("self_attention_stats", &self_attention_stats); });

}  // namespace
