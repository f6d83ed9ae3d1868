#!/usr/bin/env bash
# Shows what this is about: builds the node and the checker, and has the checker start three nodes on
# this machine, ask them for reads and writes, kill, freeze and cut them off meanwhile, the leader
# first of all, and judge whether all that clients saw is linearizable.
# Usage: demo.sh [ARGUMENT...]   (for `checker run`, instead of ours: see `checker run --help`)
# Needs a stable Rust (cargo) and a C compiler (cc). Exits as the checker does: 0 is valid.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."

need() { # need PROGRAM HOW-TO-GET-IT
    command -v "$1" >/dev/null || {
        echo "demo.sh: $1 is missing; install it: $2" >&2
        exit 254
    }
}
need cargo "https://rustup.rs, or apt-get install rustup && rustup default stable"
need cc "apt-get install gcc libc6-dev, or the like"

echo "== building the node and the checker; the first time, this takes a few minutes"
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --release --bins -p node -p checker

# Short, and yet with three kills at least, whatever the seed: one of them is of the leader.
[ $# -gt 0 ] || set -- --time-limit 20 --nemesis-interval 2
printf '\n== checker run %s\n' "$*"
code=0
"$target/release/checker" run --store store "$@" || code=$?
# Without a run there is nothing to tell: it has said why.
[ $code -lt 254 ] || exit $code

printf '\n== what was done to the nodes; the longest time without a successful write: median, worst\n'
# It exits as the worst of its runs did; that is told below.
"$target/release/checker" summary store/latest | sed -n '/^fault/,$p' || true

words=(valid invalid unknown vacuous)
printf '\n%s: every operation and fault is in the report: %s\n' \
    "${words[code]-exit code $code}" "$PWD/store/latest/report.html"
exit $code
