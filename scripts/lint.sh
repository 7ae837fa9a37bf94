#!/usr/bin/env bash
# Everything about the tree that can be checked without running it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

say "format"
cargo fmt --all -- --check
cargo fmt --manifest-path raft-peer/Cargo.toml -- --check
say "lints"
with_progress linting cargo clippy --workspace --all-targets -- -D warnings
with_progress linting cargo clippy --manifest-path raft-peer/Cargo.toml --all-targets -- -D warnings
with_progress linting cargo clippy -p xtask --all-features --all-targets -- -D warnings
say "documentation"
RUSTDOCFLAGS='-D warnings' with_progress documenting cargo doc --workspace --no-deps
say "markers around what students write"
cargo x markers
say "generated code"
cargo x proto --check
say "dependencies: the consensus core and the messages build without an engine and without a transport"
cargo check -p raft-core -p proto
for package in raft-core proto; do
  tree=$(cargo tree -p "$package" -e normal --prefix none)
  for unwanted in librocksdb-sys tonic tokio; do
    if grep -q "^$unwanted " <<<"$tree"; then die "$package depends on $unwanted"; fi
  done
done
say "scripts"
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
if command -v shellcheck >/dev/null; then
  shellcheck -x scripts/*.sh .ci/run
else
  echo "    shellcheck is not installed: the scripts are only parsed"
fi
