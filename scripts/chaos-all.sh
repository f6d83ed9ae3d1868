#!/usr/bin/env bash
# Every nemesis alone and all together, with 3 and 5 nodes, 1 and 4 replication groups. Some 23 minutes.
source "$(dirname "$0")/chaos.bash"

kinds=(kill pause partition loss delay duplicate reorder corrupt clock restart-all all)
for nodes in 3 5; do
    for partitions in 1 4; do
        for kind in "${kinds[@]}"; do
            # Of all together, each kind must come often enough to prove something.
            seconds=$([ "$kind" = all ] && echo 75 || echo 25)
            chaos "$seconds" --nodes $nodes --partitions $partitions --nemesis "$kind" --nemesis-interval 3
        done
    done
done
table
