#!/usr/bin/env bash
# Every check of the repository: style, types, shell, and all tests.
#
#   tools/run_tests.sh                    everything
#   tools/run_tests.sh -m "not slow"      options go to pytest
#   tools/run_tests.sh test/x/test_y.py   so do paths: pytest alone, on these
#
# Sets the environment up if it is missing. The last line is pytest's summary; a static check
# that failed is named before pytest starts, and makes the exit code 1 all the same.
set -uo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
python=$(tools/setup_env.sh) || exit 1
export PATH="${python%/*}:$PATH" OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1
if [[ -n ${ESPNET_ENTROPY_PYTHON:-} ]]; then
  "$python" tools/check_packages.py --test || exit 1
fi

paths_given=false
for argument in "$@"; do
  [[ -e ${argument%%::*} ]] && paths_given=true
done

files=()  # what git tracks or would, without what is deleted; in an archive, everything
while IFS= read -r -d '' file; do
  if [[ -e $file || -L $file ]]; then files+=("$file"); fi
done < <(git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
  find . -path ./.venv -prune -o \( -type f -o -type l \) -print0)

# shellcheck disable=SC2329  # called through check, below
{
  matching() {  # REGEX: those files whose path it matches
    printf '%s\0' "${files[@]}" | grep -zE "$1" || true
  }
  check_shell() {
    { matching '\.sh$'; matching '(^|/)[^.]*$' | xargs -0 -r grep -lZE -m1 '^#!.*sh$'; } |
      xargs -0 -r shellcheck --shell=bash --external-sources --source-path=SCRIPTDIR
  }
  check_yaml() { matching '\.ya?ml$' | xargs -0 -r yamllint --strict; }
  check_spelling() { matching '\.(py|sh|pl|md|ya?ml|toml|in)$' | xargs -0 -r codespell; }
  check_tree() {  # no symbolic links, nothing large but the models that come with the toolkit
    local bad=0 file most
    for file in "${files[@]}"; do
      if [[ -L $file ]]; then
        echo "$file: is a symbolic link; call by path instead"
        bad=1
        continue
      fi
      most=500
      if [[ $file == espnet_entropy/models/*.safetensors ]]; then most=3000; fi
      if (($(stat -c %s "$file") > most * 1000)); then
        echo "$file: is larger than $most kB"
        bad=1
      fi
    done
    return "$bad"
  }
}

failed=()
check() {  # NAME COMMAND...
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}

if ! $paths_given; then
  check "ruff" ruff check .
  check "ruff format" ruff format --check .
  check "mypy" mypy
  check "shellcheck" check_shell
  check "yamllint" check_yaml
  check "codespell" check_spelling
  check "tree" check_tree
  # Two processes by default: each of them pays for importing ESPnet once
  set -- test espnet_entropy -n "${PYTEST_WORKERS:-2}" --dist loadfile "$@"
fi
((${#failed[@]})) && echo "== FAILED before pytest: ${failed[*]}"
echo "== pytest"
"$python" -m pytest --doctest-modules "$@"
status=$?
((${#failed[@]} == 0)) && exit $status
exit 1
