#!/usr/bin/env bash
# mini_synth: when do entropy groups beat uniform ones? One factor at a time, units made of true phones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

../../TEMPLATE/study1/study.sh \
    --train_set train \
    --valid_set valid \
    --test_sets "test_seen test_unseen" \
    --units_args "--lm_config ../../../units1/conf/train_entropy_lm.yaml --segmenter_config ../../conf/segmenter.yaml" \
    --bpe_size 250 \
    --data_inputs "$(echo ../../../espnet_entropy/corpora/mini_synth/*.*)" \
    "$@"
