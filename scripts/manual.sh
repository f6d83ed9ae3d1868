#!/usr/bin/env bash
# Writes man pages, and completions for bash, zsh and fish, of node, kv, checker and models.
# Usage: manual.sh [DIR]   (~/.local/share by default, where man, bash and fish look by themselves;
# for zsh, before compinit: fpath+=~/.local/share/zsh/site-functions). Needs cargo.
set -euo pipefail
case ${1-} in -h | --help) sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" && exit 0 ;; esac
[ $# -le 1 ] || {
    echo "usage: manual.sh [DIR]" >&2
    exit 254
}
root=$(cd "$(dirname "$0")/.." && pwd)
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p models
exec "${CARGO_TARGET_DIR:-$root/target}/release/models" manual "${1-$HOME/.local/share}"
