#include "linear_kernels.h"

namespace tvt {

LinearKernel linear_kernel_for([[maybe_unused]] VectorSet set, [[maybe_unused]] DType dtype) {
#if TVT_HAS_CLONES
  switch (set) {
    case VectorSet::amx_bf16:
      return dtype == DType::bf16 ? linear_amx_bf16() : linear_avx512(dtype);
    case VectorSet::avx512_bf16:
      return dtype == DType::bf16 ? linear_avx512_bf16() : linear_avx512(dtype);
    case VectorSet::avx512:
      return linear_avx512(dtype);
    case VectorSet::avx2:
      return linear_avx2(dtype);
    case VectorSet::none:
      break;
  }
#endif
  return {};
}

}  // namespace tvt
