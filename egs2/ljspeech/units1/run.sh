#!/usr/bin/env bash
# ljspeech: 24 hours of English books, read by one woman.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    "$@"
