# Helpers that the other scripts share. To be sourced, not run; the sourcing script has set -euo pipefail.
# shellcheck shell=bash

# Prints one line on stderr and ends the script.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Prints a line that says what happens next.
say() {
  printf '%s\n' "==> $*"
}

# Runs a command that takes long. On a terminal cargo draws its own progress bar; elsewhere a line a minute shows that it is alive.
with_progress() {
  local what=$1 status=0
  shift
  if [[ -t 2 ]]; then
    "$@"
    return
  fi
  local begin=$SECONDS ticker
  (
    trap 'kill "$!"; exit 0' TERM
    while true; do
      sleep 60 &
      wait "$!"
      printf '    ... %s, %d min so far\n' "$what" $(((SECONDS - begin) / 60))
    done
  ) >&2 &
  ticker=$!
  "$@" || status=$?
  kill "$ticker"
  wait "$ticker"
  return "$status"
}

# True if something accepts connections on the port of this machine.
port_is_busy() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The folder where cargo puts what it builds.
target_folder() {
  cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
