#include "indexed.h"

#include <algorithm>
#include <cstring>

#include "box_muller.h"
#include "target.h"

namespace tvt {
namespace {

constexpr int kBatch = 128;               // Philox calls computed together
constexpr std::int64_t kGrain = 1 << 15;  // numbers per thread

// The words of a batch: counters before philox(), random words after it.
struct Words {
  alignas(64) std::uint32_t word[4][kBatch];
};

TVT_INLINE void philox(Words& words, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
#pragma omp simd
    for (int i = 0; i < kBatch; ++i) {
      const std::uint64_t product0 = std::uint64_t{kPhiloxMultiplier0} * words.word[0][i];
      const std::uint64_t product1 = std::uint64_t{kPhiloxMultiplier1} * words.word[2][i];
      words.word[0][i] = static_cast<std::uint32_t>(product1 >> 32) ^ words.word[1][i] ^ k0;
      words.word[1][i] = static_cast<std::uint32_t>(product1);
      words.word[2][i] = static_cast<std::uint32_t>(product0 >> 32) ^ words.word[3][i] ^ k1;
      words.word[3][i] = static_cast<std::uint32_t>(product0);
    }
    k0 += kPhiloxKeyStep0;
    k1 += kPhiloxKeyStep1;
  }
}

}  // namespace

// values[4 i + l]: the number of lane l of call i.
TVT_CLONES void normal_batch(Words& words, std::uint64_t key, float scale, float shift,
                             float* values) {
  philox(words, key);
#pragma omp simd
  for (int i = 0; i < kBatch; ++i) {
    float z0, z1, z2, z3;
    box_muller(words.word[0][i], words.word[1][i], z0, z1);
    box_muller(words.word[2][i], words.word[3][i], z2, z3);
    values[4 * i] = z0 * scale + shift;
    values[4 * i + 1] = z1 * scale + shift;
    values[4 * i + 2] = z2 * scale + shift;
    values[4 * i + 3] = z3 * scale + shift;
  }
}

TVT_CLONES void uniform_batch(Words& words, std::uint64_t key, float scale, float shift,
                              float* values) {
  philox(words, key);
#pragma omp simd
  for (int i = 0; i < kBatch; ++i) {
    for (int l = 0; l < 4; ++l) {
      values[4 * i + l] = unit_uniform(words.word[l][i]) * scale + shift;
    }
  }
}

namespace {

using Batch = void (*)(Words&, std::uint64_t, float, float, float*);

// Calls visit(first call of the run in the batch, length, row, first block of the row) for every run of calls of one
// row. Calls are numbered row by row, `blocks` per row.
template <typename Visit>
void for_each_run(std::int64_t first, int count, std::int64_t blocks, const Visit& visit) {
  std::int64_t row = first / blocks;
  std::int64_t block = first % blocks;
  for (int done = 0; done < count;) {
    const int length = static_cast<int>(std::min<std::int64_t>(count - done, blocks - block));
    visit(done, length, row, block);
    done += length;
    ++row;
    block = 0;
  }
}

void fill_batch(const Filled& filled, std::int64_t first, int count, std::int64_t blocks,
                std::uint64_t key, float scale, float shift, Batch batch) {
  Words words;
  alignas(64) float values[4 * kBatch];
  if (count < kBatch) std::memset(&words, 0, sizeof words);
  for_each_run(first, count, blocks, [&](int at, int length, std::int64_t row, std::int64_t block) {
    const std::int64_t i2 = row % filled.shape[2];
    const std::int64_t i1 = row / filled.shape[2] % filled.shape[1];
    const std::int64_t i0 = row / filled.shape[2] / filled.shape[1];
    for (int i = 0; i < length; ++i) {
      words.word[0][at + i] = static_cast<std::uint32_t>(block + i);
      words.word[1][at + i] = static_cast<std::uint32_t>(i2);
      words.word[2][at + i] = static_cast<std::uint32_t>(i1);
      words.word[3][at + i] = static_cast<std::uint32_t>(i0);
    }
  });
  batch(words, key, scale, shift, values);
  const std::int64_t last = filled.shape[3];
  for_each_run(first, count, blocks, [&](int at, int length, std::int64_t row, std::int64_t block) {
    const std::int64_t begin = 4 * block;
    const std::int64_t end = std::min(begin + 4 * length, last);
    std::copy_n(values + 4 * at, end - begin, filled.out + row * last + begin);
  });
}

Status fill(const Filled& filled, std::uint64_t key, float scale, float shift, int threads,
            Batch batch) {
  const std::int64_t blocks = (filled.shape[3] + 3) / 4;
  const std::int64_t calls = filled.shape[0] * filled.shape[1] * filled.shape[2] * blocks;
  const std::int64_t batches = (calls + kBatch - 1) / kBatch;
#pragma omp parallel for schedule(static) num_threads(worth_threads(4 * calls, kGrain, threads))
  for (std::int64_t b = 0; b < batches; ++b) {
    const std::int64_t first = b * kBatch;
    const int count = static_cast<int>(std::min<std::int64_t>(kBatch, calls - first));
    fill_batch(filled, first, count, blocks, key, scale, shift, batch);
  }
  return Status::ok;
}

}  // namespace

Status indexed_normal(const Filled& filled, std::uint64_t key, float scale, float shift,
                      int threads) {
  return fill(filled, key, scale, shift, threads, normal_batch);
}

Status indexed_uniform(const Filled& filled, std::uint64_t key, float scale, float shift,
                       int threads) {
  return fill(filled, key, scale, shift, threads, uniform_batch);
}

}  // namespace tvt
