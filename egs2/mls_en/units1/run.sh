#!/usr/bin/env bash
# mls_en: 20 000 hours of MLS English (OpenSLR 94), scored on LibriSpeech's test-clean, as the paper does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set dev \
    --test_sets test_clean \
    "$@"
