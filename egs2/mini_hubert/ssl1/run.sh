#!/usr/bin/env bash
# mini_hubert: a small HuBERT of our own, and a rival that is told the phones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/ssl1/ssl.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "../../mini_synth/units1:test_unseen ../units1:test_unseen ../units1:lj" \
    --corpora ../units1 \
    --iterations 0 \
    --exported train_ctc \
    "$@"
