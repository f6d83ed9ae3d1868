# Sourced by the chaos scripts: builds, runs the checker again and again, and ends in a table.
#   SECONDS_EACH  how long each run lasts; by default as the script says
#   SEED          of the first run, each further one has the next; by default drawn by lot
#   STORE         where results go; by default store/NAME-OF-THE-SCRIPT-TIME
# Ctrl-C ends the run that goes on, and then all: what there is, is in the table.
set -euo pipefail

case ${1-} in -h | --help)
    for file in "$0" "${BASH_SOURCE[0]}"; do
        sed -n '/^#!/d; /^[^#]/q; s/^# \{0,1\}//p' "$file"
    done
    exit 0
    ;;
esac
# Of the scripts, one takes an argument, and says of what kind.
[[ $# -le 1 && ${1-} =~ ${argument-^$} ]] || {
    echo "$(basename "$0"): what is '$*'? see --help" >&2
    exit 254
}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --release --bins -p node -p checker
checker="$CARGO_TARGET_DIR/release/checker"
store="${STORE:-store/$(basename "$0" .sh)-$(date +%Y%m%dT%H%M%S)}"
seed="${SEED:-$RANDOM}"

stopped= failed=
trap 'stopped=1' INT # the run that goes on is ended by it, too, and judged

chaos() { # chaos SECONDS ARGUMENTS...: one run; what it finds is told, and does not end the others
    local seconds=${SECONDS_EACH:-$1} code=0
    printf '== checker run --time-limit %s --seed %s %s\n' "$seconds" "$seed" "${*:2}"
    "$checker" run --store "$store" --time-limit "$seconds" --seed "$seed" "${@:2}" || code=$?
    [ "$code" -lt 254 ] || failed=$code # without a run: no table can tell of it
    seed=$((seed + 1))
    [ -z "$stopped" ] || table
}

table() { # all runs in a table; the exit code of the worst is ours
    printf '\n'
    local code=0
    "$checker" summary "$store" || code=$?
    exit "${failed:-$code}"
}
