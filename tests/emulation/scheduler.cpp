// Runs kernels on a CPU: blocks one after another in a random order, and in a block one fiber per CUDA thread, of which
// a random ready one runs until it waits. To ThreadSanitizer every fiber is a thread, barriers alone order them, and
// blocks are not ordered at all. This file is compiled without sanitizers: what it does is no access of a kernel.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "cuda_runtime.h"

#if EMULATED_RACES
#include <sanitizer/tsan_interface.h>
#define RACES(...) __VA_ARGS__
#else
#define RACES(...)
#endif

// Leaves the running fiber, whose stack pointer goes to `*from`, for the one that was left at `to`.
extern "C" void emulated_switch(void** from, void* to);
asm(R"(
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
)");

namespace emulated {

int fault = -1;

namespace {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 1 << 16;
constexpr std::size_t kSharedLimit = 48 << 10;  // bytes of a block that asks for no more
constexpr unsigned kMostThreads = 1024, kMostBlocks = 65535;
constexpr unsigned char kPoison = 0xff;  // a NaN in every type
// Blocks in turn that share no fibers: to ThreadSanitizer, which knows 8,128 threads, a fiber is one and ordered.
constexpr unsigned kCasts = EMULATED_RACES ? 24 : 1;
constexpr std::size_t kGuard = EMULATED_EXACT ? 0 : 256;  // bytes behind shared memory that must stay poisoned

using Memory = std::unique_ptr<unsigned char, decltype(&std::free)>;
Memory allocate(std::size_t bytes) { return {static_cast<unsigned char*>(std::malloc(bytes)), &std::free}; }

struct Fiber {
  Place place;
  unsigned number;
  void* saved;      // its stack pointer while another one runs
  void* sanitized;  // what it is to ThreadSanitizer
};

// What fibers of one number have one after another.
struct Seat {
  Memory stack;
  void* sanitized;
};

// Turns alternate: who leaves one must neither read nor acquire what others bring to the next.
struct Barrier {
  std::vector<Fiber*> waiting;
  int turn = 0;
  std::uint64_t brought[2][kWarp];
  char order[2];  // stands for the turn before ThreadSanitizer
};

struct Array {
  const void* site;
  std::size_t bytes;
  Memory memory;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Fiber*> ready;
  std::vector<Barrier> warps;
  Barrier whole;
  std::vector<Array> arrays;
  std::size_t alive;
};

std::uint64_t random_state = 1;
int processors = 1;
cudaError_t last_error = cudaSuccess;
char message[256];
void (*body)(const void*);
const void* body_arguments;
Block* block;
Fiber* running;
void *scheduler_saved, *scheduler_sanitized;
char begun, ended;  // order the scheduler before a fiber that goes on, and fibers before the end of the launch

std::size_t random_below(std::size_t n) {  // xorshift64*
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 0x2545f4914f6cdd1dull >> 33) % n;
}

void fail(cudaError_t error, const char* format, ...) {
  if (last_error != cudaSuccess) return;
  last_error = error;
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
}

// Whose accesses ThreadSanitizer sees from now on.
void as_scheduler() { RACES(__tsan_switch_to_fiber(scheduler_sanitized, __tsan_switch_to_fiber_no_sync);) }
void as_thread() {
  RACES(__tsan_release(&begun); __tsan_switch_to_fiber(running->sanitized, __tsan_switch_to_fiber_no_sync);
        __tsan_acquire(&begun);)
}

void open(Barrier& barrier) {
  block->ready.insert(block->ready.end(), barrier.waiting.begin(), barrier.waiting.end());
  barrier.waiting.clear();
  barrier.turn ^= 1;
}

void arrive(Barrier& barrier, std::size_t wanted) {
  barrier.waiting.push_back(running);
  if (barrier.waiting.size() == wanted) open(barrier);
  emulated_switch(&running->saved, scheduler_saved);
}

// Where a fiber begins; it does not return.
void enter() {
  as_thread();
  body(body_arguments);
  RACES(__tsan_release(&ended);)
  as_scheduler();
  if (--block->alive > 0 && block->whole.waiting.size() == block->alive) open(block->whole);
  emulated_switch(&running->saved, scheduler_saved);
}

// A fiber whose stack emulated_switch leaves by its `ret` into enter(), aligned as by a call.
Fiber new_fiber(const Place& place, unsigned number, std::size_t cast) {
  static std::vector<Seat> casts[kCasts];
  std::vector<Seat>& seats = casts[cast];
  if (seats.size() == number) {
    seats.push_back({allocate(kStack), nullptr});
    RACES(seats.back().sanitized = __tsan_create_fiber(0);)
  }
  auto* top = reinterpret_cast<void**>(seats[number].stack.get() + kStack) - 1;
  top[-1] = reinterpret_cast<void*>(&enter);
  return {place, number, std::memset(top - 7, 0, 6 * sizeof *top), seats[number].sanitized};
}

unsigned char* new_array(const void* site, std::size_t bytes) {
  block->arrays.push_back({site, bytes, allocate(bytes + kGuard)});
  std::size_t sum = 0;
  for (const Array& array : block->arrays) sum += array.bytes;
  if (sum > kSharedLimit) fail(cudaErrorInvalidValue, "%zu bytes of shared memory in a block", sum);
  return static_cast<unsigned char*>(std::memset(block->arrays.back().memory.get(), kPoison, bytes + kGuard));
}

dim3 nth(dim3 size, unsigned n) { return {n % size.x, n / size.x % size.y, n / size.x / size.y}; }

void run_block(const Configuration& configuration, unsigned number, unsigned threads, std::size_t cast) {
  block->alive = threads;
  block->fibers.reserve(threads);
  block->warps.resize((threads + kWarp - 1) / kWarp);
  new_array(nullptr, configuration.shared_bytes);
  for (unsigned i = 0; i < threads; ++i) {
    const dim3 size = configuration.block, grid = configuration.grid;
    const Place place{nth(size, i), nth(grid, number), size, grid};
    block->fibers.push_back(new_fiber(place, i, cast));
    block->ready.push_back(&block->fibers[i]);
  }
  while (!block->ready.empty()) {
    std::swap(block->ready[random_below(block->ready.size())], block->ready.back());
    running = block->ready.back();
    block->ready.pop_back();
    emulated_switch(&scheduler_saved, running->saved);
  }
  const std::size_t at_barrier = block->whole.waiting.size();
  const std::size_t in_shuffles = block->alive - at_barrier;
  const char* format = "%zu threads wait for ever at __syncthreads and %zu in shuffles of a warp";
  if (block->alive > 0) fail(cudaErrorLaunchFailure, format, at_barrier, in_shuffles);
  for (const Array& array : block->arrays) {
    for (std::size_t i = array.bytes; i < array.bytes + kGuard; ++i) {
      if (array.memory.get()[i] == kPoison) continue;
      fail(cudaErrorLaunchFailure, "a write behind %zu bytes of shared memory", array.bytes);
    }
  }
}

}  // namespace

const Place& place() { return running->place; }

void run(const Configuration& configuration, void (*thread)(const void*), const void* arguments) {
  const dim3 grid = configuration.grid, size = configuration.block;
  const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z, threads = std::size_t{size.x} * size.y * size.z;
  if (blocks == 0 || threads == 0 || threads > kMostThreads || grid.y > kMostBlocks || grid.z > kMostBlocks) {
    return fail(cudaErrorInvalidConfiguration, "[%u, %u, %u] blocks of %zu threads", grid.x, grid.y, grid.z, threads);
  }
  body = thread;
  body_arguments = arguments;
  RACES(scheduler_sanitized = __tsan_get_current_fiber();)
  std::vector<unsigned> order(blocks);
  std::iota(order.begin(), order.end(), 0u);
  std::vector<std::unique_ptr<Block>> done;  // kept for ThreadSanitizer, to which an address is one thing in a launch
  for (std::size_t i = 0; i < blocks && last_error == cudaSuccess; ++i) {
    std::swap(order[i], order[i + random_below(blocks - i)]);
    if (!EMULATED_RACES) done.clear();
    done.push_back(std::make_unique<Block>());
    block = done.back().get();
    run_block(configuration, order[i], static_cast<unsigned>(threads), i % kCasts);
  }
  RACES(__tsan_acquire(&ended);)
}

void* shared_memory(const void* site, std::size_t bytes) {
  for (const Array& array : block->arrays) {
    if (array.site == site) return array.memory.get();
  }
  as_scheduler();
  void* memory = new_array(site, bytes);
  as_thread();
  return memory;
}

std::uint64_t exchange(unsigned mask, std::uint64_t value, int distance) {
  as_scheduler();
  const unsigned lane = running->number % kWarp;
  const auto lanes = std::min<std::size_t>(kWarp, block->fibers.size() - running->number + lane);
  if (mask != 0xffffffffu) fail(cudaErrorLaunchFailure, "a shuffle of the lanes %08x only", mask);
  Barrier& warp = block->warps[running->number / kWarp];
  const auto& brought = warp.brought[warp.turn];
  warp.brought[warp.turn][lane] = value;
  arrive(warp, lanes);
  as_thread();
  return brought[(lane ^ distance) % kWarp];
}

}  // namespace emulated

using namespace emulated;

void __syncthreads() {
  [[maybe_unused]] char* order = &block->whole.order[block->whole.turn];
  RACES(__tsan_release(order);)
  as_scheduler();
  arrive(block->whole, block->alive);
  as_thread();
  RACES(__tsan_acquire(order);)
}

cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = processors, cudaSuccess; }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, void (*)()) { return cudaSuccess; }
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
const char* cudaGetErrorString(cudaError_t) { return message; }

// The seed of all schedules from now on, the number of multiprocessors that the device claims to have, and the fault.
extern "C" __attribute__((visibility("default"))) void emulated_configure(std::uint64_t seed, int count, int number) {
  random_state = 2 * seed + 1;
  processors = count;
  fault = number;
}
