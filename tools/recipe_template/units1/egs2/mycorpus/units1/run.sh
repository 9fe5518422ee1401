#!/usr/bin/env bash
# mycorpus: TODO language, speakers, hours, in one line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    "$@"
