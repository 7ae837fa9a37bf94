#!/usr/bin/env bash
# Lines of Rust per crate: the crate's own code, its tests, and what is generated. Blank lines and comments count.
set -euo pipefail
cd "$(dirname "$0")/.."

# Lines in all files that git knows under a folder and whose path matches (or, with -v, does not match) the patterns.
lines() {
  local folder=$1
  shift
  git ls-files -z -- "$folder/*.rs" | { grep -z "$@" || [[ $? == 1 ]]; } | xargs -0 -r cat | wc -l
}

readonly tests='/tests/\|/tests\.rs$\|/benches/\|_tests\.rs$'
printf '%-16s %8s %8s %10s\n' crate code tests generated
sum_code=0 sum_tests=0 sum_generated=0
for manifest in */Cargo.toml; do
  crate=$(dirname "$manifest")
  generated=$(lines "$crate" '/generated/')
  testing=$(lines "$crate" "$tests")
  code=$(($(lines "$crate" '.') - generated - testing))
  printf '%-16s %8d %8d %10d\n' "$crate" "$code" "$testing" "$generated"
  sum_code=$((sum_code + code)) sum_tests=$((sum_tests + testing)) sum_generated=$((sum_generated + generated))
done
printf '%-16s %8d %8d %10d\n' sum "$sum_code" "$sum_tests" "$sum_generated"
