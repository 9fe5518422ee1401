#!/usr/bin/env bash
# mini_synth, the whole path. So far it ends after the units: groups calibrated to 24, 15 and 7 Hz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../units1/run.sh "$@"
