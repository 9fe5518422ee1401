#!/usr/bin/env bash
# data/{train,valid,test} of mycorpus. Options go to its prepare():
#   ./run.sh --data_opts "--option valid_share=0.05"
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus mycorpus --source "${MYCORPUS}" --out data "$@"
