// Instruction sets: leaf functions marked TVT_CLONES are compiled for several and chosen when the library is
// loaded. They hold no OpenMP region. Elsewhere (other compilers, architectures, C libraries) the mark is empty.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__INTEL_COMPILER) && __GNUC__ >= 12
#define TVT_HAS_CLONES 1
#define TVT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TVT_HAS_CLONES 0
#define TVT_CLONES
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TVT_INLINE inline __attribute__((always_inline))
#define TVT_NOINLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define TVT_INLINE __forceinline
#define TVT_NOINLINE __declspec(noinline)
#else
#define TVT_INLINE inline
#define TVT_NOINLINE
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TVT_PREFETCH(address) __builtin_prefetch(address)
#else
#define TVT_PREFETCH(address) static_cast<void>(address)
#endif

namespace tvt {

constexpr std::int64_t kCacheLine = 64;

// Instruction set the clones run on: "x86-64-v4", "x86-64-v3" or "baseline".
const char* instruction_set();

// Threads worth starting for `work` elements: one per `grain` of them, at most `threads`, at least one.
inline int worth_threads(std::int64_t work, std::int64_t grain, int threads) {
  const std::int64_t useful = work / grain;
  if (useful <= 1 || threads <= 1) return 1;
  return useful < threads ? static_cast<int>(useful) : threads;
}

}  // namespace tvt
