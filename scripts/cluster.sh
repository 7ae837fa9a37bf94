#!/usr/bin/env bash
# A cluster on this machine: one scheduler and a few stores, each a process of its own.
#
#   scripts/cluster.sh start             build, start all, wait until every region has a leader
#   scripts/cluster.sh start N           start store N again (or: start scheduler)
#   scripts/cluster.sh kill N            SIGKILL store N (or: kill scheduler)
#   scripts/cluster.sh status            one line per process
#   scripts/cluster.sh stop              SIGTERM to all, wait for their end
#   scripts/cluster.sh clean-data        remove the data of a stopped cluster
#
# Environment: DATA (folder, default .cluster), and for the first start STORES (3), PD_PORT (2379) and STORE_PORT (20160). Store N
# listens on STORE_PORT + N - 1 and tells its status on the port 20 above. Later calls with the same DATA remember all three.
#
# DATA holds: cluster.env (the settings), scheduler/ and store-N/ (data), logs/, run/ (process ids).
set -euo pipefail
if [[ -n ${DATA:-} ]]; then DATA=$(realpath -m "$DATA"); fi
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

export PATH="$HOME/.cargo/bin:$PATH"
readonly STATUS_OFFSET=20
readonly READY_SECONDS=60
readonly STOP_SECONDS=20
readonly DATA=${DATA:-$PWD/.cluster}
# How messages repeat the folder, so that their commands can be copied.
prefix=
if [[ $DATA != "$PWD/.cluster" ]]; then prefix="DATA=$DATA "; fi
readonly prefix

# ---- settings ----

# Settings of the last start, or the defaults.
declare -A recorded=([STORES]=3 [PD_PORT]=2379 [STORE_PORT]=20160)

# Reads the settings: environment first, then what the last start wrote, then the defaults.
load_settings() {
  local name value
  if [[ -f $DATA/cluster.env ]]; then
    while IFS='=' read -r name value; do
      if [[ -n ${recorded[$name]:-} ]]; then recorded[$name]=$value; fi
    done <"$DATA/cluster.env"
  fi
  STORES=${STORES:-${recorded[STORES]}}
  PD_PORT=${PD_PORT:-${recorded[PD_PORT]}}
  STORE_PORT=${STORE_PORT:-${recorded[STORE_PORT]}}
  for name in STORES PD_PORT STORE_PORT; do
    [[ ${!name} =~ ^[1-9][0-9]{0,4}$ ]] || die "$name must be a positive number, not '${!name}'"
  done
  ((STORES <= STATUS_OFFSET)) || die "STORES must be at most $STATUS_OFFSET"
  ((PD_PORT <= 65535)) || die "PD_PORT must be at most 65535"
  ((STORE_PORT + STATUS_OFFSET + STORES <= 65536)) || die "STORE_PORT must be at most $((65536 - STATUS_OFFSET - STORES))"
  if ((PD_PORT >= STORE_PORT && PD_PORT < STORE_PORT + STATUS_OFFSET + STORES)); then
    die "PD_PORT=$PD_PORT lies among the ports of the stores, $STORE_PORT to $((STORE_PORT + STATUS_OFFSET + STORES - 1))"
  fi
}

save_settings() {
  mkdir -p "$DATA/logs" "$DATA/run"
  printf 'STORES=%s\nPD_PORT=%s\nSTORE_PORT=%s\n' "$STORES" "$PD_PORT" "$STORE_PORT" >"$DATA/cluster.env"
}

# Members of the cluster by name: scheduler, store-1, store-2, ...
members() {
  echo scheduler
  seq -f 'store-%g' 1 "$STORES"
}

# The name for what the user wrote: N, store-N or scheduler.
member_of() {
  local name=$1 all
  if [[ $name =~ ^[0-9]+$ ]]; then name=store-$name; fi
  all=$(members | paste -sd ' ')
  [[ " $all " == *" $name "* ]] || die "there is no '$1'; the cluster has: $all"
  echo "$name"
}

port_of() {
  if [[ $1 == scheduler ]]; then echo "$PD_PORT"; else echo $((STORE_PORT + ${1#store-} - 1)); fi
}

status_port_of() {
  echo $(($(port_of "$1") + STATUS_OFFSET))
}

log_of() {
  echo "$DATA/logs/$1.log"
}

# ---- processes ----

# Members that this run of the script has started.
launched=()

# When the process started, in clock ticks since boot: with the id, it names a process for good.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # the fields are words
  set -- $stat
  # A zombie has ended, though its parent has not looked yet.
  [[ $1 != Z ]] || return 1
  echo "${20}"
}

# Prints the id of a member's process if it is the one that we started and still runs.
pid_of() {
  local pid begun word
  [[ -f $DATA/run/$1.pid ]] || return 1
  read -r pid begun <"$DATA/run/$1.pid" || return 1
  [[ -n $begun && $(start_time "$pid") == "$begun" ]] || return 1
  while IFS= read -r -d '' word; do
    if [[ $word == "$DATA/$1" ]]; then
      echo "$pid"
      return
    fi
  done <"/proc/$pid/cmdline"
  return 1
}

is_running() {
  pid_of "$1" >/dev/null
}

running_members() {
  local file member
  for file in "$DATA"/run/*.pid; do
    member=$(basename "$file" .pid)
    if is_running "$member"; then echo "$member"; fi
  done
}

# Starts one member in the background, in a session of its own, so that Ctrl-C here does not reach it.
launch() {
  local member=$1 address command pid
  address=127.0.0.1:$(port_of "$member")
  if [[ $member == scheduler ]]; then
    command=("$binaries/tinykv-scheduler" --addr "$address" --max-replicas $((STORES < 3 ? STORES : 3)))
  else
    command=("$binaries/tinykv-server" --addr "$address" --status-addr "127.0.0.1:$(status_port_of "$member")"
      --scheduler "127.0.0.1:$PD_PORT")
  fi
  setsid "${command[@]}" --data-dir "$DATA/$member" </dev/null >>"$(log_of "$member")" 2>&1 9>&- &
  pid=$!
  printf '%s %s\n' "$pid" "$(start_time "$pid")" >"$DATA/run/$member.pid"
  # Until the program has replaced the shell in the new process, nobody could tell that it is ours.
  while start_time "$pid" >/dev/null && ! is_running "$member"; do sleep 0.01; done
  launched+=("$member")
}

# Sets `binaries` to the folder of the programs, and checks that they are there.
find_binaries() {
  local name
  binaries=$(target_folder)/debug
  for name in tinykv-scheduler tinykv-server tinykv-ctl; do
    [[ -x $binaries/$name ]] || die "$binaries/$name is missing; build it with: make build"
  done
}

# Ends the script with the end of a member's log, after it died.
die_of() {
  printf '\n' >&2
  tail -n 15 "$(log_of "$1")" | sed 's/^/    /' >&2
  die "$1 has ended; the lines above are the end of $(log_of "$1")"
}

# Fails, naming every port that is taken, before anything starts.
check_ports() {
  local member port busy=()
  for member in "$@"; do
    port=$(port_of "$member")
    if port_is_busy "$port"; then busy+=("$port ($member)"); fi
    if [[ $member == scheduler ]]; then continue; fi
    port=$(status_port_of "$member")
    if port_is_busy "$port"; then busy+=("$port (status of $member)"); fi
  done
  if ((${#busy[@]} > 0)); then
    printf 'error: port in use: %s\n' "${busy[@]}" >&2
    die "free these ports (ss -ltnp shows who listens), or choose others: make cluster PD_PORT=12379 STORE_PORT=30160"
  fi
}

# ---- waiting ----

# Waits until a check holds, a dot every second; gives up when a member dies or time is over.
wait_until() {
  local what=$1 deadline=$((SECONDS + READY_SECONDS)) rounds=0 member
  shift
  printf '    waiting for %s ' "$what"
  until "$@"; do
    for member in "${launched[@]}"; do
      if ! is_running "$member"; then die_of "$member"; fi
    done
    if ((SECONDS >= deadline)); then
      printf '\n' >&2
      die "no success within $READY_SECONDS s; see: ${prefix}scripts/cluster.sh status, and the logs in $DATA/logs"
    fi
    if ((++rounds % 10 == 0)); then printf '.'; fi
    sleep 0.1
  done
  printf ' done\n'
}

store_status() {
  curl -fsS --max-time 2 --noproxy '*' "http://127.0.0.1:$(status_port_of "$1")/status" 2>/dev/null
}

scheduler_answers() {
  port_is_busy "$PD_PORT"
}

stores_answer() {
  local member
  for member in "${launched[@]}"; do
    if [[ $member != scheduler ]] && ! store_status "$member" >/dev/null; then return 1; fi
  done
}

# The regions of a status page, one number a line; only those the store leads if `leader` is given.
regions_of() {
  tr '{' '\n' | grep '"term"' | if [[ ${1:-} == leader ]]; then grep '"role": *"leader"' || return 0; else cat; fi |
    sed -n 's/.*"id": *\([0-9]*\).*/\1/p'
}

# True if there is a region, and each region that a store knows is led by one of the running stores.
regions_are_led() {
  local member page known='' led=''
  for member in $(members); do
    if [[ $member == scheduler ]] || ! is_running "$member"; then continue; fi
    page=$(store_status "$member") || return 1
    known+=$(regions_of <<<"$page")$'\n'
    led+=$(regions_of leader <<<"$page")$'\n'
  done
  known=$(sort -u <<<"$known" | sed '/^$/d')
  led=$(sort -u <<<"$led" | sed '/^$/d')
  [[ -n $known && $known == "$led" ]]
}

# ---- commands ----

lock() {
  mkdir -p "$DATA"
  exec 9>"$DATA/lock"
  flock -n 9 || die "another scripts/cluster.sh is at work on $DATA"
}

# A running cluster can get more stores, but no other ports and not fewer stores.
check_same_settings() {
  if [[ -z $(running_members) ]]; then return; fi
  if ((STORES < recorded[STORES] || PD_PORT != recorded[PD_PORT] || STORE_PORT != recorded[STORE_PORT])); then
    die "the cluster runs with STORES=${recorded[STORES]} PD_PORT=${recorded[PD_PORT]} STORE_PORT=${recorded[STORE_PORT]};" \
      "stop it first: ${prefix}make stop"
  fi
}

start_all() {
  local member down=()
  load_settings
  lock
  check_same_settings
  for member in $(members); do
    if ! is_running "$member"; then down+=("$member"); fi
  done
  if ((${#down[@]} == 0)); then
    say "already running"
    status
    return
  fi
  check_ports "${down[@]}"
  bash scripts/setup.sh
  bash scripts/build.sh
  find_binaries
  save_settings
  local begin=${EPOCHREALTIME/[.,]/}
  say "starting ${down[*]}"
  for member in "${down[@]}"; do
    launch "$member"
    if [[ $member == scheduler ]]; then wait_until "the scheduler" scheduler_answers; fi
  done
  wait_until "the stores" stores_answer
  wait_until "a leader in every region" regions_are_led
  printf '    serving after %d ms\n' $(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
  greet
}

greet() {
  local member
  printf '\nThe cluster serves. Data and logs: %s\n\n' "$DATA"
  for member in $(members); do
    if [[ $member == scheduler ]]; then
      printf '  %-10s 127.0.0.1:%s   (clients connect here)\n' "$member" "$PD_PORT"
    else
      printf '  %-10s 127.0.0.1:%s   http://127.0.0.1:%s/status\n' "$member" "$(port_of "$member")" "$(status_port_of "$member")"
    fi
  done
  cat <<END

Three things to try:
  1. write and read:    $binaries/tinykv-ctl --scheduler 127.0.0.1:$PD_PORT raw put hello world
                        $binaries/tinykv-ctl --scheduler 127.0.0.1:$PD_PORT raw get hello
  2. look inside:       curl http://127.0.0.1:$(status_port_of store-1)/status
  3. kill a store:      ${prefix}scripts/cluster.sh kill 1
     and bring it back: ${prefix}scripts/cluster.sh start 1

Stop it with: ${prefix}make stop
END
}

start_one() {
  local member
  load_settings
  [[ -f $DATA/cluster.env ]] || die "there is no cluster in $DATA yet; start one with: ${prefix}make cluster"
  member=$(member_of "$1")
  lock
  if is_running "$member"; then
    say "$member is already running"
    return
  fi
  check_ports "$member"
  find_binaries
  say "starting $member"
  launch "$member"
  if [[ $member == scheduler ]]; then wait_until "the scheduler" scheduler_answers; else wait_until "$member" stores_answer; fi
}

kill_one() {
  local member pid
  load_settings
  member=$(member_of "$1")
  lock
  pid=$(pid_of "$member") || die "$member is not running"
  kill -KILL "$pid"
  while is_running "$member"; do sleep 0.02; done
  say "killed $member (process $pid); bring it back with: ${prefix}scripts/cluster.sh start ${member#store-}"
}

status() {
  local member pid page state=0
  [[ -f $DATA/cluster.env ]] || die "there is no cluster in $DATA; start one with: ${prefix}make cluster"
  load_settings
  for member in $(members); do
    if ! pid=$(pid_of "$member"); then
      printf '  %-10s 127.0.0.1:%-6s down\n' "$member" "$(port_of "$member")"
      state=1
    elif [[ $member == scheduler ]]; then
      printf '  %-10s 127.0.0.1:%-6s up    process %s\n' "$member" "$PD_PORT" "$pid"
    elif page=$(store_status "$member"); then
      printf '  %-10s 127.0.0.1:%-6s up    process %s, id %s in the cluster, leads %s of %s regions\n' \
        "$member" "$(port_of "$member")" "$pid" "$(sed -n 's/^{"store_id": *\([0-9]*\).*/\1/p' <<<"$page")" \
        "$(regions_of leader <<<"$page" | wc -l)" "$(regions_of <<<"$page" | wc -l)"
    else
      printf '  %-10s 127.0.0.1:%-6s runs as process %s, but port %s does not answer\n' "$member" "$(port_of "$member")" \
        "$pid" "$(status_port_of "$member")"
      state=1
    fi
  done
  return "$state"
}

# SIGTERM to the members given, then waits for their end.
stop_members() {
  local member pid deadline left=("$@")
  for member in "$@"; do
    if pid=$(pid_of "$member"); then kill -TERM "$pid"; fi
  done
  deadline=$((SECONDS + STOP_SECONDS))
  while true; do
    left=()
    for member in "$@"; do
      if is_running "$member"; then left+=("$member"); else rm -f "$DATA/run/$member.pid"; fi
    done
    if ((${#left[@]} == 0)); then return; fi
    if ((SECONDS >= deadline)); then
      die "still running after $STOP_SECONDS s: ${left[*]}; see $DATA/logs, and end it with: ${prefix}scripts/cluster.sh kill N"
    fi
    sleep 0.1
  done
}

stop_all() {
  local running stores
  load_settings
  if [[ ! -f $DATA/cluster.env ]]; then
    say "there is no cluster in $DATA"
    return
  fi
  lock
  mapfile -t running < <(running_members)
  if ((${#running[@]} == 0)); then
    say "nothing is running"
    return
  fi
  say "stopping ${running[*]}"
  # Stores first, so that their last heartbeats still find the scheduler.
  mapfile -t stores < <(printf '%s\n' "${running[@]}" | sed '/^scheduler$/d')
  stop_members "${stores[@]}"
  if [[ ${running[0]} == scheduler ]]; then stop_members scheduler; fi
  say "stopped; the data stays in $DATA"
}

clean_data() {
  local running
  load_settings
  if [[ ! -f $DATA/cluster.env ]]; then
    say "there is no cluster in $DATA"
    return
  fi
  lock
  mapfile -t running < <(running_members)
  if ((${#running[@]} > 0)); then die "still running: ${running[*]}; stop the cluster first: ${prefix}make stop"; fi
  rm -rf "$DATA"/store-[0-9]* "$DATA/scheduler" "$DATA/logs" "$DATA/run"
  rm -f "$DATA/cluster.env" "$DATA/lock"
  if ! rmdir "$DATA" 2>/dev/null; then say "$DATA stays: it holds files that are not the cluster's"; fi
  say "removed the cluster's data from $DATA"
}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
}

case ${1:-}/$# in
  start/1) start_all ;;
  start/2) start_one "$2" ;;
  kill/2) kill_one "$2" ;;
  status/1) status ;;
  stop/1) stop_all ;;
  clean-data/1) clean_data ;;
  help/1 | --help/1 | -h/1) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
