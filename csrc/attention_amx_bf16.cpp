// Headers of inline functions come before the pragma: other files, for any CPU, may share their code.
#include <algorithm>
#include <atomic>
#include <limits>

#include "attention_head.h"

#if TVT_HAS_CLONES
// GCC 12 takes the undefined operands of its own intrinsics for mistakes.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("arch=x86-64-v4,avx512bf16,amx-tile,amx-bf16")
#include "attention_amx.h"
#include "vectors_avx512_bf16.h"

namespace tvt {

AttentionKernel attention_amx_bf16() {
  return {AttentionInTiles::kTile, AttentionInTiles::scratch_floats, AttentionInTiles::run};
}

}  // namespace tvt
#endif
