#!/usr/bin/env bash
# Every model within its full bounds: what holds, in how many states, how deep, how fast, in how much
# memory. Takes minutes; the gate checks the small bounds. Arguments go to `models check all`, as in
#     scripts/models.sh --threads 2
# Needs cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release -p models
exec "${CARGO_TARGET_DIR:-target}/release/models" check all "$@"
