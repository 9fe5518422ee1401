#!/usr/bin/env bash
# data/{train,dev,test} of mls_en, and data/test_clean of LibriSpeech. Options are of mls_en:
#   ./run.sh --data_opts "--download true --option hours=1000"
set -euo pipefail

prepare() { # OPTIONS...
    "${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --out data "$@"
}

fetch=()
if [[ " $* " == *" --download true "* ]]; then fetch=(--download true); fi
prepare --corpus librispeech --source "${LIBRISPEECH}" --option parts=test-clean "${fetch[@]}"
# LibriSpeech also says whom to keep out of train: the readers of its dev and test
prepare --corpus mls_en --source "${MLS_EN}" --option librispeech="${LIBRISPEECH}" "$@"
