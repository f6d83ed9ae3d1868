#!/usr/bin/env bash
# soak.sh [MINUTES]: as fast as it goes under every fault, in pieces of ten minutes; by default an hour.
# Beside the verdicts it tells what memory the nodes took over time.
argument='^([1-9][0-9]*)?$'
source "$(dirname "$0")/chaos.bash"

memory() { # once a minute: seconds since the start, and the resident megabytes of each node
    local begun=$SECONDS pid
    # It outlives us for a while, and must not keep a pipe open.
    while sleep 60 &>/dev/null; do
        printf '%6d s  node memory MB:' $((SECONDS - begun))
        for pid in $(pgrep -f "^[^ ]*/node .*--data $PWD/$store/|^[^ ]*/node .*--data $store/" || true); do
            awk '/VmRSS/ { printf " %d", $2 / 1024 }' "/proc/$pid/status" 2>/dev/null || true
        done
        printf '\n'
    done
}

memory &
trap 'kill $!' EXIT
for ((left = ${1:-60}; left > 0; left -= 10)); do
    minutes=$((left < 10 ? left : 10))
    chaos $((minutes * 60)) --nemesis all --rate 0
done
table
