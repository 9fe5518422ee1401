#!/usr/bin/env bash
# data/{train,valid}: speechocean762 and 170 minutes of mini_synth's 1700 words, together; the test sets of each.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../../../utils/data.sh"

prepare speechocean762 --source "${SPEECHOCEAN762}" --out data/parts/speechocean762
prepare mini_synth --out data/parts/mini_synth --nj "${nj:-2}" \
    --option vocabulary=large --option minutes=170 --option audio=data/audio "$@"
for name in train valid; do
    "${python:?set by run.sh}" -m espnet_entropy.bin.combine_data data/parts/*/"${name}" --out "data/${name}"
done
for name in speechocean762/test mini_synth/test_seen mini_synth/test_unseen; do
    "${python}" -m espnet_entropy.bin.combine_data "data/parts/${name}" --out "data/${name#*/}"
done
prepare_if_there ljspeech_mini "${LJSPEECH_MINI}"
prepare_if_there librivox_smoke "${LIBRIVOX_SMOKE}"
