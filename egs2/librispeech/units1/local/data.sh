#!/usr/bin/env bash
# data/{train_960,train_clean_100,...,dev_clean,...} of librispeech. Options:
#   ./run.sh --data_opts "--download true --option parts=train-clean-100,dev-clean,test-clean"
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus librispeech --source "${LIBRISPEECH}" --out data "$@"
