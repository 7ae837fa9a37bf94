#!/usr/bin/env bash
# Puts known bugs back into a copy of raft-core, one at a time, and sees that the campaign names the rule that each of them breaks.
#
# usage: bugs-raft.sh [name ...]     without names: all patches of test-raft/bugs, and the promises that sim-raft can break itself
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

seeds=0..5000
target=${CARGO_TARGET_DIR:-$PWD/target}/bugs-raft
tree=$target/tree
missed=0

# Prints one line of the table. $1 name, $2 rules of which one must be named, $3 what the campaign printed.
judge() {
  local name=$1 rules=$2 output=$3 verdict rule seed
  verdict=$(grep -m1 '^FAIL' <<<"$output" || echo "FAIL - seed - step - -")
  rule=$(sed -E 's/.*step [0-9-]+ +([A-Z-]+).*/\1/' <<<"$verdict")
  seed=$(sed -E 's/.*seed ([0-9-]+).*/\1/' <<<"$verdict")
  if [[ " $rules " == *" $rule "* ]]; then
    printf '| %s | %s | %s | %s |\n' "$name" "$rule" "$seed" "$((seed + 1))"
  else
    printf '| %s | MISSED: wanted %s, got %s at seed %s | | |\n' "$name" "$rules" "$rule" "$seed"
    missed=1
  fi
}

names=("$@")
if [[ ${#names[@]} == 0 ]]; then
  for patch in test-raft/bugs/*.patch; do names+=("$(basename "$patch" .patch)"); done
  own=1
fi

rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$tree"
export CARGO_TARGET_DIR=$target/build

echo '| bug | noticed by | first seed | seeds needed |'
echo '|---|---|---|---|'
for name in "${names[@]}"; do
  patch=$PWD/test-raft/bugs/$name.patch
  (cd "$tree" && GIT_DIR=/nonexistent git apply "$patch")
  (cd "$tree" && cargo build -q -p test-raft --bin sim-raft) || die "$name does not compile"
  output=$("$CARGO_TARGET_DIR/debug/sim-raft" --seeds "$seeds" || true)
  judge "$name" "$(sed -n 's/^Rules: //p' "$patch")" "$output"
  (cd "$tree" && GIT_DIR=/nonexistent git apply -R "$patch")
done
if [[ ${own:-} ]]; then
  (cd "$tree" && cargo build -q -p test-raft --bin sim-raft)
  while read -r name rules; do
    output=$("$CARGO_TARGET_DIR/debug/sim-raft" --seeds "$seeds" --broken "$name" || true)
    judge "$name" "$rules" "$output"
  done < <("$CARGO_TARGET_DIR/debug/sim-raft" --list-broken)
fi
[[ $missed == 0 ]] || die "a bug was not noticed, or not by its rule"
