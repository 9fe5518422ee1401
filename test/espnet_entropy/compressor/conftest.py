"""A whole model directory of toy size: MFCC, 20 clusters, a random LM, thresholds."""

import numpy as np
import pytest
import torch

from espnet_entropy.compressor import Compressor, ModelDirectory
from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.segmenter.calibrate import calibrate_plan
from espnet_entropy.segmenter.config import Default, Plan, SegmenterConfig
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.tokenizer import Tokenizer

K = 20


def babble(seed, seconds=3.0):
    """(T,) float32: noise whose colour changes a few times a second."""
    rng = np.random.default_rng(seed)
    pieces = []
    while sum(map(len, pieces)) < seconds * 16000:
        noise = rng.normal(size=rng.integers(1000, 4000))
        kernel = rng.normal(size=rng.integers(2, 12))
        piece = np.convolve(noise, kernel, mode="same")
        pieces.append(0.1 * piece / np.abs(piece).max())
    return np.concatenate(pieces)[: int(seconds * 16000)].astype(np.float32)


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
    plan = Plan(
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


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    make_parts(root)
    return root


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


@pytest.fixture(scope="session")
def model(parts):
    return assemble(parts)


@pytest.fixture(scope="session")
def utterance_model(tmp_path_factory):
    """As the recipes make it: MFCC normalized over the utterance, which a stream cannot know."""
    root = tmp_path_factory.mktemp("utterance_parts")
    make_parts(root, features=build_features("mfcc"))
    return assemble(root)


@pytest.fixture
def hubert_model(hubert_parts):
    return assemble(hubert_parts)


@pytest.fixture(scope="session")
def compressor(model):
    return Compressor.from_pretrained(model)


@pytest.fixture
def hubert_parts(tmp_path):
    """The same with a random two-block HuBERT that streams in chunks."""
    import transformers

    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    transformers.HubertModel(config).save_pretrained(tmp_path / "hubert")
    conf = {"model": str(tmp_path / "hubert"), "layer": 1, "do_normalize": False}
    chunks = {"left_context": 0.5, "chunk": 0.4, "right_context": 0.1}
    make_parts(tmp_path / "parts", features=build_features("hubert", conf | chunks))
    return tmp_path / "parts"


@pytest.fixture(scope="session")
def other_parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("other_parts")
    make_parts(root, seed=1)
    return root


@pytest.fixture(scope="session")
def wav():
    return babble(77)
