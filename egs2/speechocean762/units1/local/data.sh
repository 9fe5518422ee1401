#!/usr/bin/env bash
# data/{train,valid,test} of speechocean762, and other corpora on which drift is measured.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../../utils/data.sh"

prepare speechocean762 --source "${SPEECHOCEAN762}" --out data "$@"
prepare_if_there ljspeech_mini "${LJSPEECH_MINI}"
prepare_if_there librivox_smoke "${LIBRIVOX_SMOKE}"
