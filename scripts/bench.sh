#!/usr/bin/env bash
# Measures three nodes on this machine: puts and gets, few and many in flight, synced and not, and what
# the machine itself takes for the least of it. Prints a table. Usage: bench.sh [SECONDS]
# SECONDS, 5 by default, is how long to measure each. Needs cargo and jq, and is best left alone.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
cd "$(dirname "$0")/.."

[[ ${1-5} =~ ^[1-9][0-9]*$ && $# -le 1 ]] || {
    echo "usage: bench.sh [SECONDS]" >&2
    exit 254
}
command -v jq >/dev/null || {
    echo "bench.sh: jq is missing; install it: apt-get install jq" >&2
    exit 254
}
seconds=${1-5}
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release -p node -p checker
# On the disk of this folder: that for temporary files may be in memory.
store=$(mktemp -d "$target/bench-XXXXXX")
trap 'rm -rf "$store"' EXIT

bench() { # bench FLAG...: one line of JSON
    "$target/release/checker" bench --json --duration "$seconds" --store "$store" "$@"
    rm -rf "${store:?}/bench" # the logs of a long run are large
}

# Of a result: the columns of the table. Whatever did not succeed is told in the last one.
row='(.operations | to_entries[0]) as {$key, $value}
    | ([.nodes[], .clients]) as $all
    | [$key, .plan.sync, .plan.in_flight]
    + [$value.per_second, $value.p50_us, $value.p99_us, $value.max_us | floor]
    + [([$all[].cpu | .user_s + .system_s] | add) * 1e7 / .ok | floor / 10]
    + [([$all[].packets_out] | add) / .ok * 100 | floor / 100]
    + [([$all[].bytes_out] | add) / .ok | floor]
    + [([.nodes[].syncs // 0] | add) / .time_s | floor]
    + [.sent - .ok] | @tsv'
ratio='(.operations | to_entries[0]) as {$key, $value}
    | .baseline.echo_us as $echo
    | (if $key == "put" and .plan.sync == "always" then .baseline.sync_us else 0 end) as $sync
    | "\($key) --sync \(.plan.sync): \($value.p50_us | floor) us; echo \($echo | floor) us, "
    + "sync \($sync | floor) us; \($value.p50_us / ($echo + $sync) * 100 | floor / 100) times"'

rows=() least=()
for sync in always os; do
    for reads in 0 100; do
        for in_flight in 1 16 64 256 1000; do
            result=$(bench --sync "$sync" --reads "$reads" --in-flight "$in_flight" \
                $([ "$in_flight" -gt 1 ] || echo --baseline))
            rows+=("$(jq -r "$row" <<<"$result")")
            [ "$in_flight" -gt 1 ] || least+=("$(jq -r "$ratio" <<<"$result")")
            echo "${rows[-1]}" >&2
        done
    done
done

line='%-4s %-6s %9s %9s %8s %8s %8s %10s %12s %9s %8s %8s\n'
printf "\n$line" what sync in-flight per-s p50-us p99-us max-us cpu-us/op datagrams/op bytes/op syncs/s not-ok
# shellcheck disable=SC2059
for result in "${rows[@]}"; do printf "$line" $result; done
printf '\none at a time, and the machine itself: echo by a quorum, append with fdatasync\n'
printf '  %s\n' "${least[@]}"
