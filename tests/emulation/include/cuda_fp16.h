#pragma once

#include "dtype.h"

using __half = tvt::Half;
inline float __half2float(__half value) { return tvt::to_float(value); }
inline __half __float2half_rn(float value) { return tvt::from_float<tvt::Half>(value); }
