#include "attention_head.h"

namespace tvt {

AttentionKernel attention_kernel_for([[maybe_unused]] VectorSet set,
                                     [[maybe_unused]] DType dtype) {
#if TVT_HAS_CLONES
  const bool bf16 = dtype == DType::bf16;
  switch (set) {
    case VectorSet::amx_bf16:
      return bf16 ? attention_amx_bf16() : attention_avx512();
    case VectorSet::avx512_bf16:
      return bf16 ? attention_avx512_bf16() : attention_avx512();
    case VectorSet::avx512:
      return attention_avx512();
    case VectorSet::avx2:
      return attention_avx2();
    case VectorSet::none:
      break;
  }
#endif
  return {};
}

}  // namespace tvt
