#!/usr/bin/env bash
# mini_synth, the whole path: synthetic speech made on the spot, units, groups, text, WER and pictures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/asr1/asr.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "test_seen test_unseen" \
    --bpe_size 250 \
    --train_threads 2 \
    "$@"
