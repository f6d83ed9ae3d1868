#!/usr/bin/env bash
# Runs a cluster of N nodes on this machine until Ctrl-C. Usage: cluster.sh N [DIR]
# DIR, target/cluster by default, holds the cluster file, and the data and log of each node: started
# again with the same DIR, the cluster goes on where it was. Needs cargo.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac

[[ ${1-} =~ ^[1-9][0-9]*$ && $# -le 2 ]] || {
    echo "usage: cluster.sh N [DIR]" >&2
    exit 254
}
count=$1
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${2:-$root/target/cluster}
target=${CARGO_TARGET_DIR:-$root/target}
file=$dir/cluster.json

cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p node
[ -e "$file" ] || "$target/release/node" init --nodes "$count" --dir "$dir" >/dev/null
ids=$(seq 1 "$count")
[ "$(grep -o '"id"' "$file" | wc -l)" -eq "$count" ] || {
    echo "cluster.sh: $file is of another size; give its size, or choose another DIR" >&2
    exit 254
}

declare -A pids=()

stop() { # asks the nodes we started to stop, and waits until they have
    trap '' INT TERM
    for id in "${!pids[@]}"; do kill "${pids[$id]}" 2>/dev/null || true; done
    wait
    echo "cluster.sh: stopped"
}
trap stop EXIT
trap 'exit 0' INT TERM

for id in $ids; do
    # Not told by Ctrl-C, but by us: each node gets one signal.
    setsid "$target/release/node" --id "$id" --cluster "$file" --data "$dir/node-$id" \
        </dev/null >>"$dir/node-$id.log" 2>&1 &
    pids[$id]=$!
done

cat <<END
$count nodes are starting; their logs are $dir/node-*.log
try:
    export PATH=$target/release:\$PATH
    kv --cluster $file put k v
    kv --cluster $file get k
    kv --cluster $file status
    kv --cluster $file             (a console)
Ctrl-C stops them.
END

# One node may be killed to see the others go on: that is no reason to stop them.
while [ "${#pids[@]}" -gt 0 ]; do
    code=0
    # Without the shell's own words on who was killed.
    { wait -n -p ended "${pids[@]}" || code=$?; } 2>/dev/null
    for id in "${!pids[@]}"; do
        [ "${pids[$id]}" = "${ended-}" ] || continue
        echo "cluster.sh: node $id has ended with code $code; the end of its log:"
        tail -n 3 "$dir/node-$id.log"
        unset "pids[$id]"
    done
done
exit 1
