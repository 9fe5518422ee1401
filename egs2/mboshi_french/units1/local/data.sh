#!/usr/bin/env bash
# data/{train,valid,dev} of the Mboshi-French parallel corpus, with its forced alignments.
set -euo pipefail
python3 -m espnet_entropy.bin.prepare_corpus --corpus mboshi_french --source "${MBOSHI_FRENCH}" --out data "$@"
