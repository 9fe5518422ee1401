#!/usr/bin/env bash
# data/{train,valid}: speechocean762 and 170 minutes of mini_synth's 1700 words, together; the test sets of each.
set -euo pipefail

prepare() { # CORPUS ARGS...
    "${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus "$1" "${@:2}"
}

prepare speechocean762 --source "${SPEECHOCEAN762}" --out data/parts/speechocean762
prepare mini_synth --out data/parts/mini_synth --nj "${nj:-2}" \
    --option vocabulary=large --option minutes=170 --option audio=data/audio "$@"
for name in train valid; do
    "${python}" -m espnet_entropy.bin.combine_data data/parts/*/"${name}" --out "data/${name}"
done
for name in speechocean762/test mini_synth/test_seen mini_synth/test_unseen; do
    "${python}" -m espnet_entropy.bin.combine_data "data/parts/${name}" --out "data/${name#*/}"
done
for other in "ljspeech_mini ${LJSPEECH_MINI}" "librivox_smoke ${LIBRIVOX_SMOKE}"; do
    if [ -d "${other#* }" ]; then
        prepare "${other%% *}" --source "${other#* }" --out data
    else
        echo "data.sh: no ${other#* }: figures on ${other%% *} are left out" >&2
    fi
done
