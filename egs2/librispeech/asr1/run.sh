#!/usr/bin/env bash
# librispeech: 960 hours of read English, groups of HuBERT units to text. The 100-hour variant is in README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/asr1/asr.sh \
    --train_set train_960 \
    --valid_set dev_clean \
    --test_sets "test_clean test_other dev_other" \
    --prepare_args "--max_units 1500" \
    --bpe_size 5000 \
    --n_average 10 \
    "$@"
