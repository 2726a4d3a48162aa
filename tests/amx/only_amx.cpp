// An extension that holds the kernels for AMX alone, and what tests ask of the tiles.

#include "attention_head.h"
#include "immintrin.h"
#include "linear_kernels.h"
#include "target.h"
#include "vector_set.h"

namespace tvt {

VectorSet vector_set(VectorSet) { return VectorSet::amx_bf16; }
const char* instruction_set() { return "emulated"; }
LinearKernel linear_kernel_for(VectorSet, DType) { return linear_amx_bf16(); }
AttentionKernel attention_kernel_for(VectorSet, DType) { return attention_amx_bf16(); }

}  // namespace tvt

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void emulated_fault(int number) { ::emulated::fault = number; }
EXPORT int emulated_configured() { return ::emulated::configured; }
EXPORT const char* emulated_error() { return ::emulated::error.exchange(nullptr); }
EXPORT std::int64_t emulated_products() { return ::emulated::products.exchange(0); }

// One product of tiles of any size, which is given as LDTILECFG takes it.
EXPORT void emulated_product(const void* config, const void* left, const void* right, void* sum) {
  _tile_loadconfig(config);
  _tile_loadd(0, sum, 64);
  _tile_loadd(1, left, 64);
  _tile_loadd(2, right, 64);
  _tile_dpbf16ps(0, 1, 2);
  _tile_stored(0, sum, 64);
  _tile_release();
}
