#!/usr/bin/env bash
# Makes the Python environment of this repository, or finds that it is made already.
#
#   tools/setup_env.sh                  .venv from tools/requirements.lock (pinned, hashed)
#   tools/setup_env.sh --python PATH    use that Python as it is: only check its packages
#   tools/setup_env.sh --lock           make tools/requirements.lock anew (for developers)
#
# ESPNET_ENTROPY_PYTHON=PATH does the same as --python PATH, for every script of the repository.
# UV_TORCH_BACKEND=cpu (cu126, …) installs that build of torch instead of the one in the lock.
# Messages go to stderr; the Python to use is printed on stdout. No sudo; safe to run again, to
# kill at any time, and to run several times at once.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
venv=$root/.venv
lock=$root/tools/requirements.lock
min_minor=10  # of Python 3; max_minor is the newest one tried with the locked versions
max_minor=13

say() { printf 'setup_env: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

python_version() {  # PYTHON -> "3.11.7", nothing if it does not run
  "$1" -I -S -c 'import platform; print(platform.python_version())' 2>/dev/null || true
}

supported() {  # VERSION
  [[ $1 =~ ^3\.([0-9]+)\. ]] && ((BASH_REMATCH[1] >= min_minor))
}

find_python() {  # the first suitable Python on PATH; one newer than max_minor only if need be
  local name version newer="" seen=""
  for name in python3 python3.12 python3.11 python3.13 python3.10 python; do
    version=$(python_version "$name")
    [[ -n $version ]] || continue
    seen+="${seen:+, }$name is $version"
    supported "$version" || continue
    if ((BASH_REMATCH[1] <= max_minor)); then
      command -v "$name"
      return
    fi
    newer=${newer:-$name}
  done
  [[ -n $newer ]] || die "Python 3.$min_minor or newer is needed on PATH (${seen:-none was found})." \
    "Install one (conda, pyenv or your system's packages) and put it first on PATH, or name one" \
    "that has the packages: --python PATH."
  command -v "$newer"
}

check_named_python() {  # PYTHON: nothing is installed
  local version
  command -v "$1" >/dev/null || die "$1: no such Python; check --python / ESPNET_ENTROPY_PYTHON."
  version=$(python_version "$1")
  [[ -n $version ]] || die "$1: does not run as Python; check --python / ESPNET_ENTROPY_PYTHON."
  supported "$version" || die "$1 is Python $version; 3.$min_minor or newer is needed."
  "$1" "$root/tools/check_packages.py" >&2 || exit 1
  command -v "$1"
}

stamp_key() {  # changes whenever the installation has to be done again
  local version
  version=$(python_version "$venv/bin/python")
  printf '%s %s %s' "$(cat "$lock" setup.py | sha256sum)" "$version" \
    "${UV_TORCH_BACKEND:-locked}"
}

up_to_date() {
  # the root is a line of its own: an environment that was moved has wrong paths everywhere
  [[ -f $venv/.setup_done ]] && [[ $(<"$venv/.setup_done") == "$root"$'\n'"$(stamp_key)" ]]
}

explain_and_die() {  # STEP: say why it failed, from its output
  local why remedy
  if grep -qiE 'no space left|os error 28|disk quota|os error 122' "$log"; then
    why="the disk is full" remedy="Free about 10 GB for .venv and uv's cache (UV_CACHE_DIR moves it)"
  elif grep -qiE 'hash mismatch|do not match the hashes|hashes are required' "$log"; then
    why="a downloaded file is not the one in tools/requirements.lock"
    remedy="Check the package index or proxy in use"
  elif grep -qiE 'dns error|name resolution|name or service not known|error sending request|connection (refused|reset|broken)|timed out|network is unreachable|failed to (fetch|connect)|no matching distribution|newconnectionerror|max retries' "$log"; then
    why="the package index cannot be reached"
    remedy="Check the network and proxy (HTTPS_PROXY), or name a Python that has the packages: --python PATH"
  elif grep -qiE 'ensurepip|no module named .?venv' "$log"; then
    why="this Python ($python) lacks the venv or ensurepip module"
    remedy="Install it (Debian, Ubuntu: python3-venv), or put a Python from conda or pyenv first on PATH"
  elif grep -qiE 'permission denied|read-only file system|os error 13' "$log"; then
    why="$root/.venv or the cache cannot be written" remedy="Check the owner and the rights of the folder"
  else
    why="its last words are above" remedy="Mend that"
  fi
  tail -n 8 "$log" | sed 's/^/    /; s/^\(.\{200\}\).*/\1.../' >&2
  die "$1 failed: $why. $remedy; then run this again."
}

step() {  # NAME COMMAND...: run it, its output into the log
  local name=$1
  shift
  printf '\n$ %s\n' "$*" >>"$log"
  # the lock (9) stays open in it: if this script is killed, the next run waits for the orphan
  "$@" >>"$log" 2>&1 </dev/null || explain_and_die "$name"
}

locked() {  # REGEX: the entries of the lock whose package name it matches, with their hashes
  awk -v regex="^($1)==" '/^[a-zA-Z]/ { keep = ($0 ~ regex) } keep' "$lock"
}

unlocked() {  # REGEX: all the others
  awk -v regex="^($1)==" '/^[a-zA-Z]/ { keep = ($0 !~ regex) } keep' "$lock"
}

make_venv() {
  local clear=""
  # begun and not ended, or moved: what is inside cannot be trusted
  if [[ -e $venv/.setup_begun ]] ||
    [[ -f $venv/.setup_done && $(head -n 1 "$venv/.setup_done") != "$root" ]] ||
    { [[ -e $venv ]] && ! supported "$(python_version "$venv/bin/python")"; }; then
    say "repairing .venv, which is incomplete, was moved, or has no working Python 3.$min_minor+"
    clear=--clear
  fi
  if [[ -n $clear || ! -e $venv ]]; then
    python=$(find_python)
    step "making .venv" "$python" -m venv ${clear:+--clear} "$venv"
  fi
  rm -f "$venv/.setup_done"
  : >"$venv/.setup_begun"
}

install_packages() {
  local work=$venv/.setup py=$venv/bin/python
  local uv=("$venv/bin/uv" --quiet pip install --python "$py" --build-constraints "$lock")
  mkdir -p "$work"
  locked uv >"$work/uv.txt"
  step "installing uv" "$py" -m pip install --quiet --disable-pip-version-check --no-deps \
    --require-hashes -r "$work/uv.txt"
  if [[ -n ${UV_TORCH_BACKEND:-} ]]; then
    # Another build of torch has other files: same version, but the lock's hashes cannot hold
    local torch='torch|torchaudio'
    unlocked "$torch|triton|nvidia-.*|cuda-.*" >"$work/packages.txt"
    step "installing the packages" env -u UV_TORCH_BACKEND "${uv[@]}" --require-hashes --no-deps \
      -r "$work/packages.txt"
    locked "$torch" | sed -n 's/^\([a-z]*==[0-9.]*\).*/\1/p' >"$work/torch.txt"
    step "installing torch ($UV_TORCH_BACKEND)" "${uv[@]}" -r "$work/torch.txt"
  else
    step "installing the packages" "${uv[@]}" --require-hashes -r "$lock"
  fi
  step "installing espnet_entropy itself" "${uv[@]}" --offline --no-deps --no-build-isolation \
    --reinstall-package espnet-entropy -e "$root"
}

make_lock() {
  [[ -x $venv/bin/uv ]] || die "--lock needs .venv with uv; run tools/setup_env.sh first."
  {
    echo "# Pinned versions and hashes of everything in .venv, for every platform and Python >= 3.$min_minor."
    echo "# Made from tools/requirements.in by: tools/setup_env.sh --lock"
    "$venv/bin/uv" pip compile --quiet --universal --python-version "3.$min_minor" \
      --generate-hashes --no-header --no-annotate tools/requirements.in
  } >"$lock.new"
  mv "$lock.new" "$lock"
}

named=${ESPNET_ENTROPY_PYTHON:-}
case "${1:-}" in
  "") ;;
  --python)
    (($# == 2)) || die "--python needs one path; see the head of tools/setup_env.sh."
    named=$2
    ;;
  --lock) make_lock; exit ;;
  -h | --help) sed -n '2,/^set /{s/^# \{0,1\}//;/^set /!p}' "tools/setup_env.sh"; exit ;;
  *) die "unknown option '$1'; known: --python PATH, --lock, --help." ;;
esac

if [[ -n $named ]]; then
  check_named_python "$named"
  exit
fi
if ! up_to_date; then
  # it would be cleared and made anew through the link, under whoever else uses it
  [[ ! -L $venv ]] || die ".venv is a link to $(readlink "$venv"), made for another folder. Remove the" \
    "link, and name that Python instead: ESPNET_ENTROPY_PYTHON=$(readlink -f "$venv")/bin/python."
  exec 9<"$root"  # the folder itself is the lock: nothing is left behind
  if command -v flock >/dev/null && ! flock -n 9; then
    say "another setup_env.sh is at work here; waiting for it"
    flock 9
  fi
  if ! up_to_date; then
    log=$(mktemp "${TMPDIR:-/tmp}/espnet_entropy_setup.XXXXXX") ||
      die "cannot write to ${TMPDIR:-/tmp}; free some space or set TMPDIR."
    trap '[[ $log == "$venv"/* ]] || rm -f "$log"' EXIT
    python=$venv/bin/python
    make_venv
    mv "$log" "$venv/.setup_log" && log=$venv/.setup_log
    say "installing about 200 packages (5 GB) into .venv; a few minutes. Follow: tail -f $log"
    install_packages
    rm -rf "$venv/.setup"
    printf '%s\n%s\n' "$root" "$(stamp_key)" >"$venv/.setup_begun"
    mv "$venv/.setup_begun" "$venv/.setup_done"
    say "done: $(python_version "$venv/bin/python") in .venv"
  fi
fi
echo "$venv/bin/python"
