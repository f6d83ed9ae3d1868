#!/usr/bin/env bash
# Nodes stand still and go on as if no time had passed; also cut off meanwhile, as a virtual machine
# that is moved; also with clocks that run too fast or too slow. Some 3 minutes.
source "$(dirname "$0")/chaos.bash"

for nodes in 3 5; do
    chaos 30 --nodes $nodes --nemesis pause
    chaos 30 --nodes $nodes --nemesis pause --nemesis-interval 1.5 --rate 0
done
if command -v faketime >/dev/null; then
    chaos 30 --nemesis clock
    chaos 30 --nemesis clock,pause
else
    echo "clocks are left out: install the package faketime"
fi
table
