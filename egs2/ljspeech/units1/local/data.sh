#!/usr/bin/env bash
# data/{train,valid,test} of ljspeech. Options go to its prepare():
#   ./run.sh --data_opts "--option held_out=100"
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus ljspeech --source "${LJSPEECH}" --out data "$@"
