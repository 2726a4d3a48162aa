// Instruction sets of kernels that are written in vectors.
#pragma once

namespace tvt {

// The fastest first.
enum class VectorSet : int { avx512_bf16 = 0, avx512 = 1, avx2 = 2, none = 3 };

// The fastest that this build holds kernels for and this CPU runs; it runs those behind it too.
VectorSet vector_set();

}  // namespace tvt
