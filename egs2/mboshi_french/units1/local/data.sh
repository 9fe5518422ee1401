#!/usr/bin/env bash
# data/{train,valid,dev,dev_<speaker>} of the Mboshi-French corpus, with its forced alignments.
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus mboshi_french --source "${MBOSHI_FRENCH}" --out data "$@"
