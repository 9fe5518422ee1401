#!/usr/bin/env bash
# mini_synth: synthetic speech made on the spot; from waveform to calibrated groups in minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/units1/units.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "test_seen test_unseen" \
    --boundary_sets "test_seen test_unseen" \
    --train_threads 2 \
    --data_inputs "$(echo ../../../espnet_entropy/corpora/mini_synth/*.*)" \
    "$@"
