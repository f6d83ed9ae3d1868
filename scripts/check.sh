#!/usr/bin/env bash
# The gate: the same at home and in CI. Prints what it proved; fails on the first thing that is not so.
# Takes a quarter of an hour on two cores from a cold start, and no arguments.
# Needs git and cargo, with rustfmt and clippy (rustup component add rustfmt clippy).
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
[ $# -eq 0 ] || {
    echo "check.sh: what is '$*'? it takes no arguments" >&2
    exit 254
}
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR=never
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
proved=()

step() { # step WHAT COMMAND...: runs the command, and notes what its success proves
    local what=$1 begun=$SECONDS
    shift
    printf '\n== %s\n' "$what"
    "$@"
    proved+=("$(printf '%5d s  %s' $((SECONDS - begun)) "$what")")
}

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || {
        echo "check.sh: cargo $tool is missing; install it: rustup component add rustfmt clippy" >&2
        exit 254
    }
done

simulate() { # simulate BUILD ARGUMENTS...: debug builds assert every invariant after every step
    "$CARGO_TARGET_DIR/$1/models" simulate "${@:2}"
}

same_hashes() { # the same seeds take the same steps in both builds
    diff <(simulate debug --seeds "$1" --hashes | grep -E '^[0-9]+ [0-9a-f]{16}$') \
        <(simulate release --seeds "$1" --hashes | grep -E '^[0-9]+ [0-9a-f]{16}$')
}

every_seed_hashed() {
    local hashed
    hashed=$(simulate release --seeds "$1" --hashes | grep -cE '^[0-9]+ [0-9a-f]{16}$')
    [ "$hashed" -eq "$1" ]
}

real_run() { # three real nodes under faults; what their clients saw is judged
    local store code=0
    store=$(mktemp -d)
    "$CARGO_TARGET_DIR/debug/checker" run --time-limit 10 --nemesis-interval 3 --seed 1 \
        --store "$store" || code=$?
    if [ "$code" -eq 0 ]; then
        rm -rf "$store"
    else
        echo "check.sh: all that is known of that run is in $store" >&2
    fi
    return "$code"
}

step "formatted" cargo fmt --all --check
step "no clippy warning, benches and tests included" \
    cargo clippy --quiet --workspace --all-targets -- -D warnings
step "documentation builds without a warning" \
    env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items
if cargo deny --version >/dev/null 2>&1; then
    step "licences and sources of dependencies are as in deny.toml, and no version is doubled" \
        cargo deny --log-level error check licenses bans sources
else
    # Not everybody has it, and it takes minutes to build.
    proved+=("$(printf '%5s    %s' - 'left out: licences (cargo install --locked cargo-deny)')")
fi
step "tests pass: units, scenarios, any message, real nodes, histories, engines" cargo test --quiet --workspace
step "three mutants of the bank do not survive the scenarios" scripts/mutants.sh --canary
step "a real cluster, a node killed under load, is linearizable" real_run
step "both builds of the simulator" \
    bash -c 'cargo build --quiet -p models && cargo build --quiet --release -p models'
step "every interleaving of the models within their small bounds" \
    "$CARGO_TARGET_DIR/release/models" check all --small
step "2000 seeds are clean with every invariant asserted after every step" \
    simulate debug --seeds 2000
step "10000 seeds are clean at full speed" simulate release --seeds 10000
step "1000 of 1000 seeds take the same steps in debug and release builds" same_hashes 1000
step "and each of them was hashed" every_seed_hashed 1000
for scenario in quorum-loss constrained chained; do
    step "recovery from $scenario, 100 of 100" simulate release --scenario "$scenario" --seeds 100
done

printf '\nproved:\n'
printf '%s\n' "${proved[@]}"
