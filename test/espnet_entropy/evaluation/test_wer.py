import json
from pathlib import Path

import numpy as np
import pytest

from espnet_entropy.evaluation.wer import ErrorCounts, alignment_lines, count_errors

# What sclite 2.4.10 (Debian's sctk, `-i rm -o pra`, case kept by giving upper case) says of
# sentences of mini_synth with a third of the words wrong; characters with '<space>' as a token,
# as ESPnet's score_cer. Each count: hits, substitutions, deletions, insertions.
GOLDEN = Path(__file__).with_name("sclite_golden.jsonl")


def distance(first, second):
    """Fewest edits, by the textbook's table."""
    table = np.zeros((len(first) + 1, len(second) + 1), dtype=int)
    table[:, 0], table[0] = range(len(first) + 1), range(len(second) + 1)
    for i, a in enumerate(first, 1):
        for j, b in enumerate(second, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
    return table[-1, -1]


def random_texts(generator, number):
    return [
        " ".join(generator.choice(["a", "bb", "abc", "ca"], generator.integers(0, 9)))
        for _ in range(number)
    ]


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_counts_against_dynamic_programming(kind):
    generator = np.random.default_rng(0)
    references, hypotheses = random_texts(generator, 200), random_texts(generator, 200)
    assert "" in references
    assert "" in hypotheses
    counts = count_errors(references, hypotheses, kind)
    for i, (ref, hyp) in enumerate(zip(references, hypotheses, strict=True)):
        first, second = (ref.split(), hyp.split()) if kind == "words" else (ref, hyp)
        assert counts.errors[i] == distance(first, second)
        assert counts.reference[i] == len(first)
        # what is in the hypothesis is right, replaced or inserted
        assert counts.hits[i] + counts.substitutions[i] + counts.insertions[i] == len(second)


def test_words_against_sclite():
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    counts = count_errors([r["ref"] for r in rows], [r["hyp"] for r in rows])
    found = np.stack([counts.hits, counts.substitutions, counts.deletions, counts.insertions])
    golden = np.array([r["words"] for r in rows]).T
    assert (counts.errors == golden[1:].sum(axis=0)).all()
    assert (counts.reference == golden[:3].sum(axis=0)).all()
    assert (found == golden).all(axis=0).sum() == 37  # of 40: a tie may be split otherwise


def test_characters_against_sclite():
    """sclite weighs 4, 3, 3 and may end with more errors, never with fewer."""
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    counts = count_errors([r["ref"] for r in rows], [r["hyp"] for r in rows], "characters")
    golden = np.array([r["characters"] for r in rows]).T
    assert (counts.reference == golden[:3].sum(axis=0)).all()  # spaces are counted
    more = golden[1:].sum(axis=0) - counts.errors
    assert (more >= 0).all()
    assert (more == 0).sum() == 38
    assert (counts.errors.sum(), golden[1:].sum()) == (529, 531)


def test_white_space_is_one_space():
    counts = count_errors(["a  b\tc "], [" a b c"], "characters")
    assert counts.errors[0] == 0
    assert counts.reference[0] == 5


def test_no_reference_has_no_rate():
    counts = count_errors(["", "a b"], ["x", "a"])
    assert np.isnan(counts.rate[0])
    assert counts.rate[1] == 0.5
    assert counts.pooled().rate == 1.0
    assert np.isnan(count_errors([""], [""]).pooled().rate)


def test_weighted_and_chosen():
    counts = ErrorCounts(*np.arange(12.0).reshape(4, 3))
    weights = np.array([[1, 0, 2], [0, 3, 0.0]])
    assert counts.weighted(weights).deletions.tolist() == [6 + 2 * 8, 3 * 7]
    assert counts.where(np.array([True, False, True])).insertions.tolist() == [9, 11]


def test_alignment_shows_the_counted_errors():
    generator = np.random.default_rng(1)
    references, hypotheses = random_texts(generator, 50), random_texts(generator, 50)
    counts = count_errors(references, hypotheses)
    for i, (ref, hyp) in enumerate(zip(references, hypotheses, strict=True)):
        first, second, marks = alignment_lines(ref, hyp)
        assert [w for w in first.split() if w.strip("*")] == ref.split()
        assert [w for w in second.split() if w.strip("*")] == hyp.split()
        found = [marks.split().count(mark) for mark in "SDI"]
        assert found == [
            counts.substitutions[i],
            counts.deletions[i],
            counts.insertions[i],
        ]
