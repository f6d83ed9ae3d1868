#!/usr/bin/env bash
# The mutant bank: each scripts/mutants/NAME.patch puts one famous mistake into the product, and
# some net must say no. A mutant that survives is a hole in a net.
#   mutants.sh [NAME...]    the nets of each mutant, in its order, until one says no
#   mutants.sh --all [..]   all its nets and all models: which of them say no?
#   mutants.sh --nets LIST  as scenarios,simulate: of its nets only these
#   mutants.sh --control    the nets on the product as it is: none may say no
#   mutants.sh --canary     three mutants and one quick net, for the gate
# Exit codes: 0 all were caught, 1 one survived, 254 bad arguments, 255 a patch does not apply or
# build.
#
# Above its diff, which `git apply` finds by itself, a patch says what the mistake is, where it is
# famous from, what it loses, and in lines of their own:
#   Visible:   outside, if clients can be made to see it: then `checker run` must, if it is asked;
#              else inside
#   Nets:      in the order in which they are asked, some of
#     scenarios   node/tests/scenarios         disk    node/tests/wal_crash, on a disk that loses
#     simulate    models simulate              models  models check --small
#     run         checker run, real processes
#   Simulate:  how many seeds; 2000 if it does not say
#   Models:    which; all under --all
#   Run:       arguments of `checker run`; Seeds: how many are tried, from 1 on; 4 if it does not say
#
# No unit tests: they were written beside the code and pin it; these nets know only what must hold.
# A net says no by naming a violation. To hang, to crash, to prove nothing or to count other states
# is none: the mutant survives it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bank=$root/scripts/mutants
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
place=$target/mutants
tree=$place/tree

canary=(accept-unindexed retry-applied-twice leader-counts-itself-early)

stop() { # stop CODE WORDS...
    local code=$1
    shift
    printf 'mutants.sh: %s\n' "$*" >&2
    exit "$code"
}

progress() { # on a terminal only, and written over by what comes next
    [ ! -t 2 ] || printf '\r\033[K%s' "$*" >&2
}

# --- The tree and its programs -------------------------------------------------------------------

refresh() { # makes the copy equal to the checkout; only what differs gets a new time, so that cargo
    # builds that and nothing else
    mkdir -p "$tree"
    local file
    while IFS= read -r -d '' file; do
        cmp -s "$root/$file" "$tree/$file" && continue
        mkdir -p "$(dirname "$tree/$file")"
        cp "$root/$file" "$tree/$file"
    done < <(git -C "$root" ls-files -z -- Cargo.toml Cargo.lock node checker models)
    # Sources that are gone, or that an earlier patch added.
    (cd "$tree" && find . -type f -printf '%P\0') | while IFS= read -r -d '' file; do
        [ -e "$root/$file" ] || rm "$tree/$file"
    done
}

patched() { # patched NAME [--check | --reverse]: puts the mistake in; sees if it fits; takes it out
    # Seen from within a repository, a path in a folder of it is not what the patch means.
    GIT_CEILING_DIRECTORIES=$place git -C "$tree" apply "${@:2}" "$bank/$1.patch" 2>"$place/log" ||
        stop 255 "$1.patch does not apply: $(head -n 1 "$place/log")"
}

# The crates of the workspace are built quickly, without debug information, and without the assertions
# of debug builds, which would stop a node before a client can see what is wrong. All else is as in
# `cargo test`, and so is what was built for it.
profile=()
for crate in node checker models; do
    for setting in debug=false debug-assertions=false; do
        profile+=(--config "profile.dev.package.$crate.$setting")
    done
done

build() { # build NAME ARGUMENTS...: programs and tests. One selection of packages, or cargo would
    # choose other features of their dependencies, and build these again
    local name=$1
    shift
    progress "$name: building"
    (cd "$tree" && CARGO_TARGET_DIR=$place/target CARGO_TERM_COLOR=never \
        cargo test --no-run --workspace "${profile[@]}" "$@") >"$place/log" 2>&1 || {
        progress ''
        grep -E -A 6 '^error' "$place/log" >&2 || tail -n 20 "$place/log" >&2
        unbuilt=1
        return 1
    }
}

test_program() { # test_program TEST: where the last build put it
    sed -n "s,^ *Executable tests/$1\.rs (\(.*\))$,\1,p" "$place/log"
}

warm() { # a new target directory begins with what builds of the checkout left of its dependencies
    [ ! -d "$place/target" ] && [ -d "$target/debug/deps" ] || return 0
    mkdir -p "$place/target/debug"
    local pack=(tar --format=posix)
    (cd "$target/debug" && find deps build .fingerprint -type f \
        ! -regex '[^/]*/\(lib\)?\(node\|checker\|models\)-.*' \
        \( -path 'deps/*.r*' -o -path 'deps/*.so' -o ! -path 'deps/*' \) -print0) |
        "${pack[@]}" -C "$target/debug" -c --null -T - | "${pack[@]}" -C "$place/target/debug" -x
}

judges() { # the programs of the checkout as it is: no mutant may judge itself
    local state
    state=$(cd "$tree" && find . -type f -print0 | sort -z | xargs -0 cat | cksum)
    [ "$(cat "$place/judges/state" 2>/dev/null)" != "$state" ] || return 0
    build 'the product as it is' --test scenarios --test counts --test smoke ||
        stop 255 'the product as it is does not build'
    mkdir -p "$place/judges"
    cp "$place/target/debug/"{node,checker,models} "$place/judges/"
    echo "$state" >"$place/judges/state"
}

# --- Nets ----------------------------------------------------------------------------------------
# Each is asked with the fields of the patch in `header`, and says no by setting `told`, the sentence,
# and `seed`, if it has one. `strange` is what else it came to.

field() { # field KEY: what the header says of it
    sed -n "/^diff /q; s/^$1: *//p" "$header"
}

limited() { # limited SECONDS PROGRAM...: into the log; its exit code, 124 when the time is over
    ended=0
    timeout --kill-after=5 "$@" >"$place/log" 2>&1 || ended=$?
    [ "$ended" != 124 ] || strange="not done in $1 s"
    return "$ended"
}

test_fails() { # test_fails TEST SECONDS: builds a test of the node and runs it; whether it says no
    build "$name" --test "$1" || return 1
    local program code=0
    program=$(test_program "$1")
    progress "$name: $1"
    limited "$2" env -C "$tree/node" "$program" || code=$?
    [ "$code" = 101 ]
}

net_scenarios() {
    test_fails scenarios 60 || return 0
    # Of a trace that is another, the first line that is.
    told=$(awk '
        !head && /\.txt:[0-9]+: / { sub(/.*\//, ""); head = $0; if (!/another trace$/) exit }
        head && /^[-+] / {
            way = /^-/ ? "without" : "with"
            $1 = ""
            head = head ", " way " \"" substr($0, 2) "\""
            exit
        }
        END { print head }' "$place/log")
}

net_disk() {
    test_fails wal_crash 300 || return 0
    told=$(sed -n "s/^thread '\([a-z_:]*\)'.* panicked at .*/\1/p" "$place/log" | head -n 1)
    told=${told:+test $told fails}
}

net_simulate() {
    build "$name" --test scenarios --test counts || return 0
    local seeds code=0
    seeds=$(field Simulate)
    progress "$name: simulate"
    limited 300 "$place/target/debug/models" simulate --seeds "${seeds:-2000}" || code=$?
    [ "$code" = 1 ] || return 0
    told=$(sed -n 's/^violation: //p' "$place/log" | head -n 1)
    seed=$(sed -n 's/^replay: .*--seed //p' "$place/log")
}

net_models() {
    build "$name" --test scenarios --test counts || return 0
    local model models code
    models=$(field Models)
    # The course is a model of its own, and takes nothing from the product.
    [ -z "$all" ] || models=$("$place/target/debug/models" list |
        sed -n 's/^\([a-z]\+\) .*/\1/p' | grep -vx course)
    for model in $models; do
        progress "$name: models check $model"
        code=0
        limited 180 "$place/target/debug/models" check "$model" --small --time 60 || code=$?
        [ "$code" -le 2 ] || [ "$code" = 124 ] ||
            strange="models check $model ended with exit code $code"
        [ "$code" = 1 ] || continue
        # The bounds stand at the margin, then the verdict; the property, and the length of the path.
        awk -v name="$name" '
            /^[a-z]+: / { bounds = $0 }
            /^  VIOLATED: .* properties in all of / {
                match($0, /all of [0-9,]+ states/)
                states = substr($0, RSTART + 7, RLENGTH - 14)
                next
            }
            /^  VIOLATED: / { property = substr($0, 13) }
            /^  after [0-9]+ steps:/ { print name "\t" bounds "\t" states "\t" $2 "\t" property }
        ' "$place/log" >"$place/found"
        if [ -s "$place/found" ]; then
            cat "$place/found" >>"$place/models.tsv"
            told=${told:-$(awk -F '\t' 'NR == 1 { print $2 ": " $5 ", after " $4 " steps" }' \
                "$place/found")}
        else
            strange=$(grep -m 1 -oE 'COUNT CHANGED, was [0-9,]+|VACUOUS' "$place/log" || true)
        fi
    done
    [ -z "$told" ] || strange=''
}

net_run() {
    build "$name" --test scenarios --test counts || return 0
    local judge=$place/judges/checker run=$place/run code tries arguments
    # In what clients do the checker is the product.
    if grep -q '^+++ b/node/src/client' "$header"; then
        build "$name" --test scenarios --test counts --test smoke || return 0
        judge=$place/target/debug/checker
    fi
    rm -rf "$run" && mkdir -p "$run"
    cp "$place/target/debug/node" "$run/node"
    cp "$judge" "$run/checker"
    read -ra arguments <<<"$(field Run)"
    tries=$(field Seeds)
    for ((try = 1; try <= ${tries:-4}; try++)); do
        progress "$name: checker run --seed $try ${arguments[*]}"
        code=0
        limited 180 "$run/checker" run --store "$run/store" --seed "$try" "${arguments[@]}" || code=$?
        case $code in
            1)
                # What is wrong with a key, or else what stands behind the commands that repeat it.
                told=$(sed -n 's/^  \(key .*\)/\1/p' "$place/log" | head -n 1)
                told=${told:-$(sed -n '/^  again: /{ n; s/^ *//p; q }' "$place/log")}
                seed=$try strange=''
                return
                ;;
            2) strange='a run is undecided' ;;
            3) strange='a run proves nothing' ;;
            255) strange=$(grep -m 1 '^checker: ' "$place/log" || echo 'the checker fails') ;;
        esac
    done
}

# --- One mutant ----------------------------------------------------------------------------------

try_mutant() { # try_mutant NAME HEADER: one line for the table, into `rows` and `survivors`
    name=$1 header=$2
    local net asked='' said_no='' begun=$SECONDS told_first='' unbuilt='' line
    for net in $(field Nets); do
        [ -z "$nets" ] || [[ ",$nets," == *",$net,"* ]] || continue
        asked=1
        told='' seed='' strange='' ended=0 unbuilt=''
        "net_$net"
        if [ -n "$unbuilt" ]; then
            broken+=("$name does not build")
            break
        fi
        [ -n "$told$strange" ] || [ "$ended" = 0 ] || strange="exit code $ended"
        if [ -n "$strange" ]; then
            notes+=("$name, $net: $strange")
        fi
        [ -n "$told" ] || continue
        said_no+=${said_no:+ }$net${seed:+:$seed}
        told_first=${told_first:-$told}
        [ -n "$all" ] || break
    done
    [ -n "$asked" ] || return 0
    if [ -n "$unbuilt" ]; then
        said_no='DOES NOT BUILD'
    elif [ -z "$said_no" ]; then
        survivors+=("$name")
    elif [ -n "$all$nets" ] && [ "$(field Visible)" = outside ] && [[ $said_no != *run:* ]] &&
        [[ ${nets:-run} == *run* ]]; then
        survivors+=("$name (visible from outside, and checker run does not see it)")
    fi
    line=$(printf '%-32s %-40s %5d  %s' "$name" "${said_no:-SURVIVES}" $((SECONDS - begun)) \
        "$told_first")
    rows+=("$line")
    progress ''
    printf '%.160s\n' "$line" >&2
}

all='' control='' nets='' names=()
while [ $# -gt 0 ]; do
    case $1 in
        --all) all=1 ;;
        --control) control=1 all=1 ;;
        --canary) names=("${canary[@]}") nets=scenarios ;;
        --nets)
            nets=${2-}
            shift $(($# > 1))
            [[ $nets =~ ^((scenarios|disk|simulate|models|run)(,|$))+$ ]] ||
                stop 254 "--nets takes some of scenarios,disk,simulate,models,run"
            ;;
        -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0" && exit 0 ;;
        -*) stop 254 "$1 is no option; there are --all, --nets, --control and --canary" ;;
        *) names+=("$1") ;;
    esac
    shift
done
for name in "${names[@]}"; do
    [ -r "$bank/$name.patch" ] ||
        stop 254 "there is no mutant $name; there are:$(printf ' %s' "$bank"/*.patch |
            sed "s,$bank/,,g; s/\.patch//g")"
done
if [ -z "$control" ] && [ "${#names[@]}" = 0 ]; then
    for patch in "$bank"/*.patch; do
        name=${patch##*/}
        names+=("${name%.patch}")
    done
fi

rows=() survivors=() notes=() broken=()
mkdir -p "$place"
exec 9>"$place/lock"
flock -n 9 || stop 255 "another mutants.sh works in $place"
refresh
for name in "${names[@]}"; do
    patched "$name" --check
done
: >"$place/models.tsv"
warm
[[ ${nets:-run} != *run* ]] || judges
if [ -n "$control" ]; then
    printf 'Nets: scenarios simulate models disk run\nRun: --time-limit 20\nSeeds: 1\n' >"$place/none"
    try_mutant 'the product as it is' "$place/none"
    [ "${#broken[@]}" = 0 ] || stop 255 "${broken[@]}"
    [ "${#survivors[@]}" = 1 ] || stop 1 'a net says no to the product as it is'
    [ "${#notes[@]}" = 0 ] || stop 1 "a net is no good: ${notes[*]}"
    echo 'no net says no to the product as it is'
    exit 0
fi
for name in "${names[@]}"; do
    patched "$name"
    try_mutant "$name" "$bank/$name.patch"
    patched "$name" --reverse
done

printf '%-32s %-40s %5s  %s\n' mutant 'said no, with which seed' s 'the first of them in words'
printf '%s\n' "${rows[@]}"
if [ -s "$place/models.tsv" ] && [ -n "$all" ]; then
    # Of each model the shortest path.
    printf '\n%-32s %9s %5s  %s\n' 'seen by a model' states path 'model: bounds: property'
    sort -t $'\t' -k 1,1 -k 4,4n "$place/models.tsv" | awk -F '\t' '
        { split($2, model, ":") }
        !seen[$1, model[1]]++ { printf "%-32s %9s %5s  %s: %s\n", $1, $3, $4, $2, $5 }'
fi
printf '\n'
[ "${#rows[@]}" -gt 0 ] || stop 254 "none of these mutants has any of these nets: $nets"
[ "${#notes[@]}" = 0 ] || printf 'not counted: %s\n' "${notes[@]}"
[ "${#survivors[@]}" = 0 ] || printf 'survived: %s\n' "${survivors[@]}"
[ "${#broken[@]}" = 0 ] || stop 255 "${broken[@]}"
[ "${#survivors[@]}" = 0 ] || exit 1
printf 'caught: all %d\n' "${#rows[@]}"
