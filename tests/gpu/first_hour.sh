#!/usr/bin/env bash
# Everything that only a CUDA device can tell, in one call of under ten minutes, the most valuable
# first. Run it from anywhere, with the environment of a checkout (`pip install '.[test]'`):
#
#     tests/gpu/first_hour.sh [DATA]
#
# DATA is a folder with cifar100_subset.npz and cifar10_resnet56-4bfd9763.th, for times of whole
# populations; by default TVTFAST_TEST_DATA. Tables go to bench/results/*-cuda.md, and what every
# step said to bench/results/first-hour/. A step that fails or takes too long does not stop the
# others. Ends with 0 where all passed, 1 where a step failed, 2 where there is no device.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 2
# shellcheck disable=SC2034 # read by steps.sh
kind=cuda data=${1:-${TVTFAST_TEST_DATA:-}}
. tests/steps.sh
unset TRITON_INTERPRET

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "first_hour.sh: no CUDA device is visible to $python; nothing was run" >&2
    exit 2
fi

step info 60 "$python" -m tvtfast info
cat "$logs/info.txt"

# Values against fp64, bits, streams, captured graphs; the CUDA C++ kernels, then those of Triton.
tests cuda-kernels 90 -m gpu tests/gpu/test_cuda_gpu.py
tests triton-kernels 150 -m gpu tests/gpu --ignore tests/gpu/test_cuda_gpu.py -k "not population"
tests populations 60 -m gpu tests/gpu/test_population_gpu.py

table operators 120 "Operators on a CUDA device" bench --device cuda --seconds 0.1
population 75 "Populations on a CUDA device" --device cuda --candidates 1000 --images 64 --rounds 1

if command -v compute-sanitizer >/dev/null; then
    step memcheck 30 compute-sanitizer --error-exitcode 3 --tool memcheck "$python" tests/gpu/sanitize.py
else
    left_out memcheck "compute-sanitizer is not on PATH"
fi

ended
