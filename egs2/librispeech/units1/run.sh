#!/usr/bin/env bash
# librispeech: 960 hours of read English (OpenSLR 12). The 100-hour variant is in README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train_960 \
    --valid_set dev_clean \
    --test_sets "test_clean test_other dev_other" \
    "$@"
