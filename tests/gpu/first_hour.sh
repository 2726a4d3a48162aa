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
python=${PYTHON:-python3}
data=${1:-${TVTFAST_TEST_DATA:-}}
results=bench/results
logs=$results/first-hour
unset TRITON_INTERPRET
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "first_hour.sh: no CUDA device is visible to $python; nothing was run" >&2
    exit 2
fi
mkdir -p "$logs"
failed=()

# step NAME SECONDS COMMAND...: what it says goes to the log, its last lines to the screen.
step() {
    local name=$1 seconds=$2 begin=$SECONDS status
    shift 2
    printf '\n== %s (after %d s, at most %d)\n' "$name" "$SECONDS" "$seconds"
    timeout --kill-after=10 "$seconds" "$@" >"$logs/$name.txt" 2>&1
    status=$?
    tail -n 4 "$logs/$name.txt"
    case $status in
    0) printf 'passed in %d s\n' $((SECONDS - begin)) ;;
    124 | 137) failed+=("$name: not done in $seconds s, see $logs/$name.txt") ;;
    *) failed+=("$name: ended with $status, see $logs/$name.txt") ;;
    esac
    return "$status"
}

# left_out NAME REASON: counts as a failure, since it is still owed.
left_out() {
    printf '\n== %s is left out: %s\n' "$1" "$2"
    failed+=("$1: left out, $2")
}

# tests NAME SECONDS ARGUMENTS...: tests of a device; it is a failure, too, if all were skipped.
tests() {
    local name=$1 seconds=$2
    shift 2
    step "$name" "$seconds" "$python" -m pytest -n 0 -q -rs -p no:cacheprovider -m gpu "$@" &&
        if ! grep -q ' passed' "$logs/$name.txt"; then failed+=("$name: every test was skipped"); fi
}

step info 60 "$python" -m tvtfast info
cat "$logs/info.txt"

# Values against fp64, bits, streams, captured graphs; the CUDA C++ kernels, then those of Triton.
tests cuda-kernels 90 tests/gpu/test_cuda_gpu.py
tests triton-kernels 150 tests/gpu --ignore tests/gpu/test_cuda_gpu.py -k "not population"
tests populations 60 tests/gpu/test_population_gpu.py

# table NAME SECONDS TITLE COMMAND...: a measurement whose table is kept, also that of a part.
table() {
    local name=$1 seconds=$2 title=$3 note=''
    shift 3
    step "$name-times" "$seconds" "$python" -m "$@" || note='; not all of it was done, see the end'
    # shellcheck disable=SC2016 # backquotes of Markdown
    printf '# %s\n\n`python -m %s`%s.\n\n%s\n' "$title" "${*//$data\//}" "$note" \
        "$(<"$logs/$name-times.txt")" >"$results/$name-cuda.md"
}

table operators 120 "Operators on a CUDA device" bench --device cuda --seconds 0.1
images=$data/cifar100_subset.npz
teacher=$data/cifar10_resnet56-4bfd9763.th
if [ -f "$images" ] && [ -f "$teacher" ]; then
    table population 75 "Populations on a CUDA device" bench.population --device cuda \
        --candidates 1000 --images 64 --rounds 1 --data "$images" --teacher "$teacher"
else
    left_out population-times "no CIFAR-100 images and teacher in '${data:-nothing given}'"
fi

if command -v compute-sanitizer >/dev/null; then
    step memcheck 30 compute-sanitizer --error-exitcode 3 --tool memcheck "$python" tests/gpu/sanitize.py
else
    left_out memcheck "compute-sanitizer is not on PATH"
fi

printf '\n== done in %d s\n' "$SECONDS"
ls -l "$results"/*-cuda.md 2>/dev/null
if [ ${#failed[@]} -eq 0 ]; then
    echo "everything passed"
    exit 0
fi
printf 'FAILED %s\n' "${failed[@]}"
exit 1
