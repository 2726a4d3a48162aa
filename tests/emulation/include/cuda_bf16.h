#pragma once

#include "dtype.h"

using __nv_bfloat16 = tvt::BFloat16;
inline float __bfloat162float(__nv_bfloat16 value) { return tvt::to_float(value); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return tvt::from_float<tvt::BFloat16>(value); }
