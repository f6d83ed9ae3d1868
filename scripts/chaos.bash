# Sourced by the chaos scripts: builds, runs the checker again and again, and ends in a table.
#   SECONDS_EACH  how long each run lasts; by default as the script says
#   SEED          of the first run, each further one has the next; by default drawn by lot
#   STORE         where results go; by default store/NAME-OF-THE-SCRIPT-TIME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --release --bins -p node -p checker
checker="$CARGO_TARGET_DIR/release/checker"
store="${STORE:-store/$(basename "$0" .sh)-$(date +%Y%m%dT%H%M%S)}"
seed="${SEED:-$RANDOM}"

chaos() { # chaos SECONDS ARGUMENTS...: one run; what it finds is told, and does not end the others
    local seconds=${SECONDS_EACH:-$1}
    printf '== checker run --time-limit %s --seed %s %s\n' "$seconds" "$seed" "${*:2}"
    "$checker" run --store "$store" --time-limit "$seconds" --seed "$seed" "${@:2}" || true
    seed=$((seed + 1))
}

table() { # all runs in a table; the exit code of the worst is ours
    printf '\n'
    "$checker" summary "$store"
}
