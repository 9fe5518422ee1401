"""Score directories for tests, made by the real scorer from texts with errors put in."""

import numpy as np

from espnet_entropy.evaluation.asr_meta import complete
from espnet_entropy.evaluation.score_asr import score_asr
from espnet_entropy.evaluation.transcripts import Transcripts

WORDS = ["one", "two", "three", "four", "five", "six"]


def texts(error_rate, seed, utterances=60, speakers=12):
    """The same references for every seed; hypotheses with substitutions."""
    fixed = np.random.default_rng(0)
    references = [" ".join(fixed.choice(WORDS, fixed.integers(3, 9))) for _ in range(utterances)]
    generator = np.random.default_rng([seed, 7])
    hypotheses = [
        " ".join("oops" if generator.random() < error_rate else word for word in text.split())
        for text in references
    ]
    return Transcripts(
        utts=[f"u{i:03d}" for i in range(utterances)],
        references=references,
        hypotheses=hypotheses,
        missing=np.zeros(utterances, dtype=bool),
        speakers=None if speakers is None else [f"s{i % speakers}" for i in range(utterances)],
        in_train=np.arange(utterances) % 3 == 0,
    )


def score(out, error_rate, seed=0, test_set="test", meta=None, **options):
    given = {"seed": seed, **(meta or {})}
    score_asr(texts(error_rate, seed, **options), out, test_set, complete(given))
    return out
