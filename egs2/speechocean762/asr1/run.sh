#!/usr/bin/env bash
# speechocean762: English read by Mandarin speakers, half of them children; 2.9 hours train it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/asr1/asr.sh \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --bpe_size 300 \
    --train_threads 2 \
    "$@"
