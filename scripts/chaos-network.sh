#!/usr/bin/env bash
# Datagrams are lost, late, doubled, reordered and damaged: each alone, then all. Some 4 minutes.
source "$(dirname "$0")/chaos.bash"

for kind in loss delay duplicate reorder corrupt; do
    chaos 20 --nodes 3 --nemesis $kind
    chaos 20 --nodes 5 --partitions 4 --nemesis $kind
done
chaos 30 --nemesis loss,delay,duplicate,reorder,corrupt --nemesis-interval 1
table
