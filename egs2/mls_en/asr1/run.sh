#!/usr/bin/env bash
# mls_en: trained on MLS English, scored on LibriSpeech's test-clean, as in the paper.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/asr1/asr.sh \
    --train_set train \
    --valid_set dev \
    --test_sets test_clean \
    --prepare_args "--max_units 1500" \
    --bpe_size 5000 \
    --n_average 10 \
    "$@"
