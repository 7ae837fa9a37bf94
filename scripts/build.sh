#!/usr/bin/env bash
# Compiles the workspace, with a sign of life on long steps.
#
# --examples (there are none) makes cargo choose the features that `cargo test --workspace` chooses, so that running and testing share
# what they compile.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

export PATH="$HOME/.cargo/bin:$PATH"
say "building (the first time, RocksDB's C++ takes about ten minutes on two cores)"
with_progress building cargo build --workspace --lib --bins --examples
