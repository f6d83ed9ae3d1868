#!/usr/bin/env bash
# Nodes are killed: the leader, others, a minority, those who vote, all at once. Some 3 minutes.
source "$(dirname "$0")/chaos.bash"

for nodes in 3 5; do
    chaos 30 --nodes $nodes --nemesis kill
    chaos 30 --nodes $nodes --nemesis restart-all
done
# With links cut as well, voters are killed in the moment of their promise. It takes many clients: of
# few, each request has been sent to both leaders by then.
chaos 30 --nemesis kill,partition --concurrency 10n
chaos 30 --nemesis kill,restart-all --nemesis-interval 1 --rate 0
table
