#!/usr/bin/env bash
# Links between nodes are cut, in every shape: around the leader, in halves, one way, in a ring, and the
# three of Omni-Paxos. The table tells for how long each kept all from writing. Some 5 minutes.
source "$(dirname "$0")/chaos.bash"

for nodes in 3 4 5; do
    chaos 60 --nodes $nodes --nemesis partition
done
chaos 60 --nodes 5 --partitions 4 --nemesis partition
chaos 60 --nodes 5 --nemesis partition,kill
table
