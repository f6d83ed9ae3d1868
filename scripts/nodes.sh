#!/usr/bin/env bash
# Tries to break real nodes, at full size, and prints a table of what was done and what came of it.
# Usage: nodes.sh [TEST...]   (names or parts of names of tests in node/tests/cluster; all by default)
# SEED=N repeats the random ones. Needs cargo, strace, faketime, and util-linux (prlimit, unshare).
set -uo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=never FULL=1
declare -A packages=([strace]=strace [faketime]=faketime [prlimit]=util-linux [unshare]=util-linux)
for tool in "${!packages[@]}"; do
    command -v "$tool" >/dev/null || {
        echo "nodes.sh: $tool is missing; install it: apt-get install ${packages[$tool]}" >&2
        exit 254
    }
done
unshare -rm true 2>/dev/null || {
    echo "nodes.sh: this user may not make namespaces, to mount a small disk; run it as another" >&2
    exit 254
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One at a time: they measure, too.
cargo test --quiet --release -p node --test cluster -- --nocapture --test-threads=1 "$@" \
    2>&1 | tee "$log" | grep --line-buffered -E '^\.?shown\||panicked|^error|SEED='
code=${PIPESTATUS[0]}

printf '\n%-64s %9s  %9s  %s\n' 'what' 'count' 'seconds' 'result'
grep -E '^\.*shown\|' "$log" | while IFS='|' read -r _ what count result seconds; do
    printf '%-64s %9s  %9s  %s\n' "$what" "$count" "$seconds" "$result"
done
grep -E '^test result:' "$log" || echo 'the tests did not run'
if [ "$code" -eq 0 ] && grep -q '^test result: ok. 0 passed' "$log"; then
    echo "nodes.sh: no test has such a name: $*; see cargo test -p node --test cluster -- --list" >&2
    exit 254
fi
if [ "$code" -ne 0 ]; then
    kept=$(mktemp -t nodes-XXXXXX.log)
    cp "$log" "$kept"
    echo "nodes.sh: something is broken; all that was said is in $kept" >&2
    exit 1
fi
