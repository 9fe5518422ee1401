#!/usr/bin/env bash
# data/ of a recipe of units that the study made: the sentences and the audio of ../units1, or others.
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus mini_synth --out data --nj "${nj:-2}" \
    --option audio=../../../units1/data/audio "$@"
