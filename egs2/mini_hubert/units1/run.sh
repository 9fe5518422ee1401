#!/usr/bin/env bash
# mini_hubert: units of ../ssl1's encoder, their entropy LM and calibration: the model that is shipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "test test_seen test_unseen" \
    --other_sets "lj librivox" \
    --boundary_sets "test_seen test_unseen lj" \
    --data_inputs "$(echo ../../../espnet_entropy/corpora/mini_synth/*.*)" \
    "$@"
