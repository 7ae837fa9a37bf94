#!/usr/bin/env bash
# Installs what building and testing need on a Debian or Ubuntu machine, and says what it installs. Does nothing when all is there.
#
#   scripts/setup.sh          compiler, libclang, protoc, curl, Rust
#   scripts/setup.sh --etcd   the same, and etcd's server, which only the benchmark needs
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

export PATH="$HOME/.cargo/bin:$PATH"
RUST_NEEDED=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
readonly RUST_NEEDED

has() {
  command -v "$1" >/dev/null
}

# Runs a command as root.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    die "installing needs root, and there is no sudo; run as root: $*"
  fi
}

# True if a file matches one of the patterns.
any_file() {
  local pattern
  for pattern in "$@"; do
    if compgen -G "$pattern" >/dev/null; then return 0; fi
  done
  return 1
}

# RocksDB's bindings are generated with libclang, which also needs the headers that belong to it.
has_libclang() {
  any_file "${LIBCLANG_PATH:-/nowhere}/libclang*.so*" /usr/lib/llvm-*/lib/libclang*.so* '/usr/lib/*/libclang*.so*' \
    '/usr/lib64/libclang*.so*' '/usr/local/lib/libclang*.so*' || return 1
  any_file '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' '/usr/lib/clang/*/include/stddef.h' \
    '/usr/local/lib/clang/*/include/stddef.h' "${LIBCLANG_PATH:-/nowhere}/clang/*/include/stddef.h"
}

# True if cargo runs and is as new as Cargo.toml asks for.
has_rust() {
  local version
  has cargo || return 1
  version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
  [[ -n $version ]] || return 1
  printf '%s\n' "$RUST_NEEDED" "$version" | sort -V -C
}

# Ends the script if there is a cargo that does not run as one. Only its owner knows why: whoever put it there may have meant it, so
# no toolchain is installed or updated around it. The one failure that installing repairs is a rustup without any toolchain.
check_cargo_runs() {
  local said
  has cargo || return 0
  said=$(cargo --version 2>&1) || said="it fails: $said"
  if [[ $said =~ ^cargo\ [0-9] ]]; then return 0; fi
  if has rustup && [[ $(rustup toolchain list 2>&1) == *"no installed toolchains"* ]]; then return 0; fi
  die "there is a cargo, but it does not tell its version; nothing was installed or changed. It says: $said"
}

# Prints the Debian packages that are missing.
missing_packages() {
  if ! has c++; then echo g++; fi
  if ! has cc; then echo gcc; fi
  if ! has make; then echo make; fi
  if ! has git; then echo git; fi
  if ! has curl; then echo curl; fi
  if ! has flock; then echo util-linux; fi
  if ! any_file /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem /etc/pki/tls/certs/ca-bundle.crt; then
    echo ca-certificates
  fi
  if ! has_libclang; then echo libclang-dev; fi
  # The `raft` crate, which raft-core is compared with, generates its messages when it is built.
  if ! has protoc; then echo protobuf-compiler; fi
  if [[ ${1:-} == --etcd ]] && ! has etcd; then echo etcd-server; fi
}

install_packages() {
  has apt-get || die "this machine has no apt-get; please install by hand what these Debian packages hold: $*"
  say "installing with apt-get: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# True if the distribution offers rustup as a package (Debian 13, Ubuntu 24.04 and later).
offers_rustup() {
  has apt-cache && [[ $(apt-cache policy rustup | sed -n 's/^ *Candidate: //p') == [0-9]* ]]
}

install_rust() {
  local remedy="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
  if has cargo && ! has rustup; then say "$(cargo --version) is older than the Rust $RUST_NEEDED that is needed"; fi
  if ! has rustup && offers_rustup; then install_packages rustup; fi
  if has rustup; then
    say "installing the stable Rust toolchain with rustup"
    rustup toolchain install stable --profile default
    rustup default stable
  else
    say "installing the stable Rust toolchain into $HOME/.cargo with the installer of https://rustup.rs"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --no-modify-path --profile default ||
      die "the Rust installer failed; install Rust $RUST_NEEDED or newer yourself, for example: $remedy"
  fi
  hash -r
  has_rust || die "Rust $RUST_NEEDED or newer is still not found; install it yourself, for example: $remedy"
}

case ${1:-} in
  '' | --etcd) ;;
  *) die "usage: scripts/setup.sh [--etcd]" ;;
esac
mapfile -t packages < <(missing_packages "$@")
if ((${#packages[@]} > 0)); then install_packages "${packages[@]}"; fi
check_cargo_runs
if ! has_rust; then install_rust; fi
