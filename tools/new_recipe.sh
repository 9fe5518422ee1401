#!/usr/bin/env bash
# Write a working recipe for a new corpus; egs2/README.md is the guide.
#
#   tools/new_recipe.sh NAME units1    corpus module, db.sh, recipe of units, test
#   tools/new_recipe.sh NAME asr1      recognition from these units (and units1, where it is missing)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../egs2/TEMPLATE/path.sh"
exec "${python:?set by path.sh}" "${root:?}/tools/new_recipe.py" "$@"
