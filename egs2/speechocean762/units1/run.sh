#!/usr/bin/env bash
# speechocean762: English read by Mandarin speakers, half of them children (OpenSLR 101).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets test \
    --other_sets "lj librivox" \
    --boundary_sets lj \
    "$@"
