#!/usr/bin/env bash
# Everything that only a CPU with matrix tiles (AMX) can tell, in one call of about an hour, the most
# valuable first. Run it from anywhere on a quiet machine, with the environment of a checkout
# (`pip install '.[test]'`):
#
#     tests/amx/first_hour.sh [DATA]
#
# DATA is a folder with cifar100_subset.npz and cifar10_resnet56-4bfd9763.th, for times of whole
# populations; by default TVTFAST_TEST_DATA. Tables go to bench/results/*-amx.md, and what every step
# said to bench/results/first-hour/. A step that fails or takes too long does not stop the others. Ends
# with 0 where all passed, 1 where a step failed, 2 where the CPU has no tiles.
#
# What the tables are to show: of populations, bf16 at 55 % of the ceiling and 14 times the published
# protocol, fp32 at 90 % of the ceiling; of operators, no ratio below 1; of dispatch, no row where
# another backend is faster.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
# shellcheck disable=SC2034 # read by steps.sh
kind=amx data=${1:-${TVTFAST_TEST_DATA:-}}
. tests/steps.sh
unset TVTFAST_INSTRUCTION_SET

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cpu._is_amx_tile_supported())'; then
    echo "first_hour.sh: this CPU has no matrix tiles; nothing was run" >&2
    exit 2
fi

step info 60 "$python" -m tvtfast info
cat "$logs/info.txt"
if ! grep -q 'vectors *amx_bf16' "$logs/info.txt"; then
    left_out tiles "tvtfast._C does not use them (vectors above)"
fi

# Values against fp64 in the CPU's own tiles, then in those in software.
tests kernels 300 tests/kernels -k "amx_bf16"
tests populations 300 tests/population
tests software 120 tests/amx

population 1200 "Populations on a CPU with matrix tiles" --candidates 50 --rounds 3
table operators 900 "Operators on a CPU with matrix tiles" bench --device cpu
table dispatch 900 "Dispatch on a CPU with matrix tiles" bench.dispatch

ended
