#!/usr/bin/env bash
# data/{train,valid,test} of speechocean762, and other corpora on which drift is measured.
set -euo pipefail

prepare() { # CORPUS SOURCE ...
    "${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus "$1" --source "$2" --out data "${@:3}"
}

prepare speechocean762 "${SPEECHOCEAN762}" "$@"
for other in "ljspeech_mini ${LJSPEECH_MINI}" "librivox_smoke ${LIBRIVOX_SMOKE}"; do
    if [ -d "${other#* }" ]; then
        prepare "${other%% *}" "${other#* }"
    else
        echo "data.sh: no ${other#* }: figures on ${other%% *} are left out" >&2
    fi
done
