#!/usr/bin/env bash
# mycorpus: TODO language, speakers, hours; groups of units to text.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/asr1/asr.sh \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --bpe_size 300 \
    "$@"
