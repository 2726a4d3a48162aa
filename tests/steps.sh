# What scripts share that do on a rare machine what only it can tell: sourced in the root of a checkout,
# with `kind`, the suffix of tables. Tables go to bench/results/*-$kind.md, and what every step said to
# bench/results/first-hour/. A step that fails or takes too long does not stop the others.
# shellcheck shell=bash disable=SC2154 # kind
python=${PYTHON:-python3}
results=bench/results
logs=$results/first-hour
failed=()
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

# step NAME SECONDS COMMAND...: what it says goes to the log, its last lines to the screen.
step() {
    local name=$1 seconds=$2 begin=$SECONDS status
    shift 2
    mkdir -p "$logs"
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

# tests NAME SECONDS ARGUMENTS...: of pytest; it is a failure, too, if all were skipped.
tests() {
    local name=$1 seconds=$2
    shift 2
    step "$name" "$seconds" "$python" -m pytest -n 0 -q -rs -p no:cacheprovider "$@" &&
        if ! grep -q ' passed' "$logs/$name.txt"; then failed+=("$name: every test was skipped"); fi
}

# table NAME SECONDS TITLE COMMAND...: a measurement whose table is kept, also that of a part.
table() {
    local name=$1 seconds=$2 title=$3 note=''
    shift 3
    step "$name-times" "$seconds" "$python" -m "$@" || note='; not all of it was done, see the end'
    # shellcheck disable=SC2016 # backquotes of Markdown
    printf '# %s\n\n`python -m %s`%s.\n\n%s\n' "$title" "${*//${data:+$data\/}/}" "$note" \
        "$(<"$logs/$name-times.txt")" >"$results/$name-$kind.md"
}

# population SECONDS TITLE ARGUMENTS...: times of whole populations, with the images and the teacher in `data`.
population() {
    local seconds=$1 title=$2
    shift 2
    local images=$data/cifar100_subset.npz teacher=$data/cifar10_resnet56-4bfd9763.th
    if [ -f "$images" ] && [ -f "$teacher" ]; then
        table population "$seconds" "$title" bench.population "$@" --data "$images" --teacher "$teacher"
    else
        left_out population-times "no CIFAR-100 images and teacher in '${data:-nothing given}'"
    fi
}

# ended: what failed; 0 where all passed.
ended() {
    printf '\n== done in %d s\n' "$SECONDS"
    ls -l "$results"/*-"$kind".md 2>/dev/null
    if [ ${#failed[@]} -eq 0 ]; then
        echo "everything passed"
        return 0
    fi
    printf 'FAILED %s\n' "${failed[@]}"
    return 1
}
