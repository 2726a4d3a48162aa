// segment_norms in tvtfast._cuda.

#include <cstdint>

#include "cuda_binding.h"
#include "segment_norms_cuda.h"

using namespace tvt::binding;

namespace {

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

const Registrar registrar([](py::module_& m) {
  m.attr("CHUNK") = tvt::cuda::kChunk;
  m.def("segment_norms", &segment_norms);
});

}  // namespace
