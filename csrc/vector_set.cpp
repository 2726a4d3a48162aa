#include "vector_set.h"

#include <initializer_list>

#include "amx.h"
#include "target.h"

namespace tvt {

namespace {

bool runs([[maybe_unused]] VectorSet set) {
#if TVT_HAS_CLONES
  __builtin_cpu_init();
  switch (set) {
    case VectorSet::amx_bf16:
      return runs(VectorSet::avx512_bf16) && has_amx_bf16();
    case VectorSet::avx512_bf16:
      return runs(VectorSet::avx512) && __builtin_cpu_supports("avx512bf16");
    case VectorSet::avx512:
      return __builtin_cpu_supports("x86-64-v4");
    case VectorSet::avx2:
      return __builtin_cpu_supports("x86-64-v3");
    case VectorSet::none:
      break;
  }
#endif
  return false;
}

}  // namespace

VectorSet vector_set(VectorSet fastest) {
  for (VectorSet set : {VectorSet::amx_bf16, VectorSet::avx512_bf16, VectorSet::avx512,
                        VectorSet::avx2}) {
    if (set >= fastest && runs(set)) return set;
  }
  return VectorSet::none;
}

}  // namespace tvt
