#include "indexed.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "target.h"

namespace tvt {
namespace {

constexpr int kBatch = 128;               // Philox calls computed together
constexpr std::int64_t kGrain = 1 << 15;  // numbers per thread

// The words of a batch: counters before philox(), random words after it.
struct Words {
  alignas(64) std::uint32_t word[4][kBatch];
};

// Every constant is rounded once from double, as in the reference.
constexpr float f32(double value) { return static_cast<float>(value); }

TVT_INLINE void philox(Words& words, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int i = 0; i < kBatch; ++i) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * words.word[0][i];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * words.word[2][i];
      words.word[0][i] = static_cast<std::uint32_t>(product1 >> 32) ^ words.word[1][i] ^ k0;
      words.word[1][i] = static_cast<std::uint32_t>(product1);
      words.word[2][i] = static_cast<std::uint32_t>(product0 >> 32) ^ words.word[3][i] ^ k1;
      words.word[3][i] = static_cast<std::uint32_t>(product0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// Natural logarithm of u in [2^-25, 1] (Cephes logf).
TVT_INLINE float log_unit(float u) {
  const std::uint32_t bits = bits_of(u) + (0x3f800000u - 0x3f3504f3u);
  const float exponent =
      static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 127);
  const float f = float_from_bits((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  const float square = f * f;
  float tail = f * f32(7.0376836292e-2) + f32(-1.1514610310e-1);
  tail = tail * f + f32(1.1676998740e-1);
  tail = tail * f + f32(-1.2420140846e-1);
  tail = tail * f + f32(1.4249322787e-1);
  tail = tail * f + f32(-1.6668057665e-1);
  tail = tail * f + f32(2.0000714765e-1);
  tail = tail * f + f32(-2.4999993993e-1);
  tail = tail * f + f32(3.3333331174e-1);
  tail = tail * f * square;
  tail = tail + exponent * f32(-2.12194440e-4);
  tail = tail - square * 0.5f;
  return (f + tail) + exponent * 0.693359375f;
}

// Two normals from two words: the radius from the first, the angle from the second. The angle 2 pi k / 2^24 is split
// into a quadrant and a remainder in [-pi/4, pi/4) in integers (Cephes sinf and cosf on the remainder).
TVT_INLINE void box_muller(std::uint32_t first, std::uint32_t second, float& even, float& odd) {
  const float u = static_cast<float>(static_cast<std::int32_t>(first >> 8)) * 0x1p-24f + 0x1p-25f;
  const float radius = std::sqrt(log_unit(u) * -2.0f);

  const auto k = static_cast<std::int32_t>(second >> 8);
  const std::int32_t quadrant = (k + (1 << 21)) >> 22;
  const float angle = static_cast<float>(k - quadrant * (1 << 22)) * f32(2 * 3.141592653589793 / 16777216);
  const float square = angle * angle;
  float sine = square * f32(-1.9515295891e-4) + f32(8.3321608736e-3);
  sine = sine * square + f32(-1.6666654611e-1);
  sine = sine * square * angle + angle;
  float cosine = square * f32(2.443315711809948e-5) + f32(-1.388731625493765e-3);
  cosine = cosine * square + f32(4.166664568298827e-2);
  cosine = cosine * square * square - square * 0.5f + 1.0f;

  const bool swap = (quadrant & 1) != 0;
  const std::uint32_t flip_even = static_cast<std::uint32_t>((quadrant + 1) & 2) << 30;
  const std::uint32_t flip_odd = static_cast<std::uint32_t>(quadrant & 2) << 30;
  even = radius * float_from_bits(bits_of(swap ? sine : cosine) ^ flip_even);
  odd = radius * float_from_bits(bits_of(swap ? cosine : sine) ^ flip_odd);
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
      const auto k = static_cast<std::int32_t>(words.word[l][i] >> 8);
      values[4 * i + l] = static_cast<float>(k) * 0x1p-24f * scale + shift;
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
