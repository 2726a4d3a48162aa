// Whether bf16 can be multiplied in tiles of Intel's AMX.
#pragma once

namespace tvt {

// The CPU has tiles and their bf16 product, and the operating system saves tiles and lets this process use them, which
// it is asked for once.
bool has_amx_bf16();

}  // namespace tvt
