#include "amx.h"

#include "target.h"

#if TVT_HAS_CLONES && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

namespace tvt {
namespace {

// Linux, Documentation/arch/x86/xstate.rst
constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
constexpr long kTileData = 18;               // XFEATURE_XTILEDATA

}  // namespace

bool has_amx_bf16() {
  __builtin_cpu_init();
  // libgcc asks CPUID, and XCR0 for tiles that the operating system saves.
  if (!__builtin_cpu_supports("amx-tile") || !__builtin_cpu_supports("amx-bf16")) return false;
  // A permission of the whole process, with all its threads. It is refused by kernels before 5.16, by sandboxes, and
  // where the signal stack of a thread is too small for tiles.
  static const bool permitted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return permitted;
}

}  // namespace tvt
#else
namespace tvt {

bool has_amx_bf16() { return false; }

}  // namespace tvt
#endif
