#!/usr/bin/env bash
# Judges a folder of recorded histories, and compares with the verdicts others came to.
#   scripts/corpus.sh [DIR]     DIR/verdicts.tsv: path, model, initial value, verdict
# Without DIR: shared/histories beside the checkout. Exit codes: 0 all agree, 1 some do not,
# 254 nothing to judge.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$root/../shared/histories}

if [ ! -r "$dir/verdicts.tsv" ]; then
    echo "corpus.sh: no verdicts.tsv in $dir; give the folder: scripts/corpus.sh DIR" >&2
    exit 254
fi
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p checker
checker=${CARGO_TARGET_DIR:-$root/target}/release/checker
checker=$(realpath "$checker")
cd "$dir"

expected=$(mktemp) found=$(mktemp)
trap 'rm -f "$expected" "$found"' EXIT
grep -v -e '^#' -e '^[[:space:]]*$' verdicts.tsv >"$expected" || {
    echo "corpus.sh: verdicts.tsv in $dir names no history" >&2
    exit 254
}

begun=$(date +%s%N)
# One run for each model and initial value: the files of a run are judged one after the other.
cut -f 2,3 "$expected" | sort -u | while IFS=$'\t' read -r model initial; do
    files=()
    while IFS=$'\t' read -r path a b _; do
        if [ "$a" = "$model" ] && [ "$b" = "$initial" ]; then
            files+=("$path")
        fi
    done <"$expected"
    # That some are invalid is expected, so the exit code says nothing here.
    "$checker" verify --model "$model" --initial "$initial" -- "${files[@]}" >>"$found" || true
done
took=$((($(date +%s%N) - begun) / 1000000))

agree=0 differ=0
while IFS=$'\t' read -r path model initial verdict; do
    got=$(awk -v start="$path: " 'index($0, start) == 1 { print $0 }' "$found" | head -n 1)
    got=${got#"$path: "}
    got=${got%% *}
    if [ "$got" = "$verdict" ]; then
        agree=$((agree + 1))
        continue
    fi
    if [ "$differ" -eq 0 ]; then
        printf '%-50s %-10s %s\n' history expected found
    fi
    printf '%-50s %-10s %s\n' "$path" "$verdict" "${got:-no verdict}"
    differ=$((differ + 1))
done <"$expected"

echo "$agree of $((agree + differ)) verdicts agree, in $took ms"
[ "$agree" -gt 0 ] && [ "$differ" -eq 0 ]
