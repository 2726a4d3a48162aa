#include "dual_loops.h"

#include <limits>

#include "target.h"

// Products may be contracted with sums here: nothing promises the same bits on all machines.
#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

#include "exp2.h"  // to be inlined, and so compiled alike

namespace tvt {
namespace {

constexpr float kLog2E = 1.4426950408889634f;

}  // namespace

TVT_CLONES void dual_scores(const float* q, const float* dq, const float* k, const float* dk,
                            std::int64_t width, std::int64_t count, float* s, float* ds) {
  for (std::int64_t j = 0; j < count; j += kLanes) {
    float score[kRows][kLanes] = {}, tangent[kRows][kLanes] = {};
    for (std::int64_t d = 0; d < width; ++d) {
      const float* keys = k + d * count + j;
      const float* dkeys = dk + d * count + j;
      for (std::int64_t r = 0; r < kRows; ++r) {
        const float query = q[r * width + d], dquery = dq[r * width + d];
#pragma omp simd
        for (std::int64_t l = 0; l < kLanes; ++l) {
          score[r][l] += query * keys[l];
          tangent[r][l] += dquery * keys[l] + query * dkeys[l];
        }
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r) {
#pragma omp simd
      for (std::int64_t l = 0; l < kLanes; ++l) {
        s[r * count + j + l] = score[r][l];
        ds[r * count + j + l] = tangent[r][l];
      }
    }
  }
}

TVT_CLONES DualSums dual_weights(float* s, float* ds, std::int64_t count) {
  float largest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : largest)
  for (std::int64_t j = 0; j < count; ++j) largest = largest < s[j] ? s[j] : largest;
  float weight = 0, tangent = 0;
#pragma omp simd reduction(+ : weight, tangent)
  for (std::int64_t j = 0; j < count; ++j) {
    const float w = exp2_nonpositive((s[j] - largest) * kLog2E);
    const float dw = w * ds[j];
    weight += w;
    tangent += dw;
    s[j] = w;
    ds[j] = dw;
  }
  return {weight, tangent};
}

TVT_CLONES void dual_mix(const float* w, const float* dw, const float* v, const float* dv,
                         std::int64_t width, std::int64_t count, float* mixed, float* dmixed) {
  for (std::int64_t d = 0; d < width; ++d) {
    const float* values = v + d * count;
    const float* dvalues = dv + d * count;
    float sum[kRows][kLanes] = {}, dsum[kRows][kLanes] = {};
    for (std::int64_t j = 0; j < count; j += kLanes) {
      for (std::int64_t r = 0; r < kRows; ++r) {
        const float* weights = w + r * count + j;
        const float* dweights = dw + r * count + j;
#pragma omp simd
        for (std::int64_t l = 0; l < kLanes; ++l) {
          sum[r][l] += weights[l] * values[j + l];
          dsum[r][l] += weights[l] * dvalues[j + l] + dweights[l] * values[j + l];
        }
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r) {
      float total = 0, dtotal = 0;
#pragma omp simd reduction(+ : total, dtotal)
      for (std::int64_t l = 0; l < kLanes; ++l) {
        total += sum[r][l];
        dtotal += dsum[r][l];
      }
      mixed[r * width + d] = total;
      dmixed[r * width + d] = dtotal;
    }
  }
}

TVT_CLONES void add_moments(const float* f, const float* df, std::int64_t terms, const float* v,
                            const float* dv, std::int64_t columns, float* sums, float* dsums) {
  for (std::int64_t c = 0; c < columns; c += kLanes) {
    float value[kRows][kLanes], dvalue[kRows][kLanes];
    for (std::int64_t r = 0; r < kRows; ++r) {
#pragma omp simd
      for (std::int64_t l = 0; l < kLanes; ++l) {
        value[r][l] = v[r * columns + c + l];
        dvalue[r][l] = dv[r * columns + c + l];
      }
    }
    for (std::int64_t i = 0; i < terms; ++i) {
      float* sum = sums + i * columns + c;
      float* dsum = dsums + i * columns + c;
#pragma omp simd
      for (std::int64_t l = 0; l < kLanes; ++l) {
        float added = sum[l], dadded = dsum[l];
        for (std::int64_t r = 0; r < kRows; ++r) {
          added += f[r * terms + i] * value[r][l];
          dadded += df[r * terms + i] * value[r][l] + f[r * terms + i] * dvalue[r][l];
        }
        sum[l] = added;
        dsum[l] = dadded;
      }
    }
  }
}

TVT_CLONES void apply_moments(const float* f, const float* df, std::int64_t terms,
                              const float* sums, const float* dsums, std::int64_t columns,
                              float* result, float* dresult) {
  for (std::int64_t c = 0; c < columns; c += kLanes) {
    float total[kRows][kLanes] = {}, dtotal[kRows][kLanes] = {};
    for (std::int64_t i = 0; i < terms; ++i) {
      const float* sum = sums + i * columns + c;
      const float* dsum = dsums + i * columns + c;
      for (std::int64_t r = 0; r < kRows; ++r) {
        const float term = f[r * terms + i], dterm = df[r * terms + i];
#pragma omp simd
        for (std::int64_t l = 0; l < kLanes; ++l) {
          total[r][l] += term * sum[l];
          dtotal[r][l] += dterm * sum[l] + term * dsum[l];
        }
      }
    }
    for (std::int64_t r = 0; r < kRows; ++r) {
#pragma omp simd
      for (std::int64_t l = 0; l < kLanes; ++l) {
        result[r * columns + c + l] = total[r][l];
        dresult[r * columns + c + l] = dtotal[r][l];
      }
    }
  }
}

}  // namespace tvt
