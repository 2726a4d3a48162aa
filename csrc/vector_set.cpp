#include "vector_set.h"

#include "target.h"

namespace tvt {

VectorSet vector_set() {
#if TVT_HAS_CLONES
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) {
    return __builtin_cpu_supports("avx512bf16") ? VectorSet::avx512_bf16 : VectorSet::avx512;
  }
  if (__builtin_cpu_supports("x86-64-v3")) return VectorSet::avx2;
#endif
  return VectorSet::none;
}

}  // namespace tvt
