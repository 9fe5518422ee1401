"""A whole model directory of toy size: MFCC, 20 clusters, a random LM, thresholds."""

import numpy as np
import torch
from sounds import babble

from espnet_entropy.compressor import ModelDirectory
from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.segmenter.calibrate import calibrate_plan
from espnet_entropy.segmenter.config import CalibrationPlan, Default, SegmenterConfig
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.tokenizer import Tokenizer

K = 20


def make_parts(root, seed=0, features=None):
    """Save a tokenizer, an LM and a calibration below ``root``."""
    features = features or build_features("mfcc", {"normalize": "causal"})
    rng = np.random.default_rng(seed)
    frames = np.concatenate([features.extract(babble(100 + i)) for i in range(4)])
    centroids = frames[rng.choice(len(frames), K, replace=False)]
    tokenizer = Tokenizer(features, KMeansQuantizer(centroids))
    tokenizer.save(root / "tokenizer")
    torch.manual_seed(seed)
    config = EntropyLMConfig(K, width=32, layers=2, heads=2, ffn=64, context=64)
    lm = EntropyLM(config).eval().requires_grad_(False)
    for weight in lm.parameters():
        weight.mul_(4.0)  # a fresh model's entropy is flat: nothing to segment
    lm.save(root / "entropy_lm", tokenizer.fingerprint, {})
    scorer = EntropyScorer(lm)
    scored = {}
    for i in range(6):
        units = tokenizer(babble(i))
        scored[f"u{i}"] = np.stack([units, scorer.score(units)], 1).astype(np.float32)
    plan = CalibrationPlan(
        Default("planned", 15.0),
        [SegmenterConfig(name) for name in ("global", "planned", "uniform", "dedup")],
        [15.0, 7.0],
    )
    held_out = ScoredSet(
        name="valid",
        utterances=scored,
        seconds=18.0,
        tokenizer=tokenizer.fingerprint,
        entropy_lm=lm.fingerprint,
        num_clusters=K,
    )
    calibrate_plan(held_out, plan).save(root / "calibration.yaml")


def assemble(root):
    """The model directory of the parts below ``root``."""
    ModelDirectory.assemble(
        root / "compressor",
        root / "tokenizer",
        root / "entropy_lm",
        root / "calibration.yaml",
        criterion="planned",
        rate=15.0,
        card="# Toy\n",
    )
    return root / "compressor"
