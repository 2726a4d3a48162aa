// Instruction sets of kernels that are written in vectors.
#pragma once

namespace tvt {

// The fastest first. amx_bf16 multiplies bf16 in tiles, and is avx512_bf16 everywhere else.
enum class VectorSet : int { amx_bf16 = 0, avx512_bf16 = 1, avx512 = 2, avx2 = 3, none = 4 };

// The fastest, `fastest` or one behind it, that this build holds kernels for and this CPU runs; it runs those behind it
// too. Only a call that may return amx_bf16 asks the operating system for the state of tiles.
VectorSet vector_set(VectorSet fastest);

}  // namespace tvt
