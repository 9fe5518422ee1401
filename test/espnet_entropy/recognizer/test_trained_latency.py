"""Latency of a trained, packed recognizer: the other source of rows."""

import numpy as np
import pytest
import torch

from espnet_entropy.compressor import ModelDirectory
from espnet_entropy.evaluation.latency import measure
from espnet_entropy.evaluation.latency_systems import (
    choose_utterances,
    trained_rows,
    waveform_parts,
)
from espnet_entropy.segmenter.scored import ScoredSet


def test_a_packed_recognizer_with_its_compressor(packed, model_dir, scored):
    manifest = ModelDirectory.open(model_dir).manifest
    dump = ScoredSet("toy", scored, 9.5, manifest.tokenizer, manifest.entropy_lm, 20)
    rows = trained_rows({"entropy_15": packed, "mine": packed}, dump, "cpu")
    assert [row.paper for row in rows] == [120.0, None]
    assert all(row.scores for row in rows)
    parts = waveform_parts(str(model_dir), dump.num_clusters, "cpu")
    utterances = choose_utterances(dump, 2, 5)
    times = measure(rows, utterances, parts, [1, 2], 1, torch.device("cpu"))
    assert set(times.waveform) == {"features", "quantizer", "entropy_lm"}
    assert set(times.rows["mine"]) == {"segmenter", "encoder", "decoder_1", "decoder_2"}
    assert times.groups["mine"].tolist() == times.groups["entropy_15"].tolist()
    assert all(np.isfinite(values).all() for values in times.rows["mine"].values())


def test_units_of_another_tokenizer_are_refused(packed, model_dir, scored):
    dump = ScoredSet("toy", scored, 9.5, "another", "lm", 20)
    with pytest.raises(ValueError, match="for units of tokenizer"):
        trained_rows({"a": packed}, dump, "cpu")
    with pytest.raises(ValueError, match="but the dump has 99"):
        waveform_parts(str(model_dir), 99, "cpu")
