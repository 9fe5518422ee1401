#!/usr/bin/env bash
# data/{train,valid,test_seen,test_unseen} of synthetic speech. Options go to the generator:
#   ./run.sh --data_opts "--option vocabulary=large --option minutes=300"
set -euo pipefail
"${python:?set by run.sh}" -m espnet_entropy.bin.prepare_corpus --corpus mini_synth --out data --nj "${nj:-2}" "$@"
