import dataclasses
import itertools

import numpy as np
import pytest

from espnet_entropy.evaluation.abx import AbxErrors, across_speakers, cell_error, within_speaker
from espnet_entropy.evaluation.abx_items import Item
from espnet_entropy.evaluation.dtw import Frames, Units, pair_distances

# What fastabx (git HEAD c89fe92 with torchdtw 0.4; it needs Python 3.12) says of made_up():
# Task(on="phone", by=["prev", "next"(, "speaker")], across=(["speaker"])),
# Score(task, distance).collapse(levels=[("prev", "next"), "speaker"])
FASTABX = {
    ("angular", "within"): 0.39740387,
    ("angular", "across"): 0.37568079,
    ("identical", "within"): 0.55338220,
    ("identical", "across"): 0.51622035,
}


def made_up(seed: int = 0) -> tuple[list[Item], list[np.ndarray], list[np.ndarray]]:
    """Items, their (n, 6) frames and their (n,) units, 3 of them."""
    generator = np.random.default_rng(seed)
    items, frames, units = [], [], []
    for i in range(120):
        size = int(generator.integers(1, 14))
        phone, speaker = (int(generator.integers(4)) for _ in range(2))
        context = (str(generator.integers(2)), str(generator.integers(2)))
        items.append(Item(f"u{i:03d}", 0, size, "abcd"[phone], context, f"s{speaker}"))
        frames.append((generator.normal(size=(size, 6)) + 0.4 * phone).astype(np.float32))
        units.append(generator.integers(0, 3, size))
    return items, frames, units


def distances(task, pieces) -> np.ndarray:
    lengths = np.array([len(piece) for piece in pieces])
    starts = np.cumsum([0, *lengths[:-1]])
    pooled = np.concatenate(pieces)
    local = Units(pooled) if pooled.ndim == 1 else Frames(pooled)
    return pair_distances(local, starts, lengths, task.pairs)


def errors(task, pieces) -> AbxErrors:
    return AbxErrors(task, distances(task, pieces))


def slow_error(items, distance, across: bool) -> float:
    """Triplet by triplet, each average as the definition has it."""
    cells: dict[tuple, list[float]] = {}
    for a, b, x in itertools.permutations(range(len(items)), 3):
        A, B, X = items[a], items[b], items[x]
        if A.context != B.context or A.context != X.context or A.speaker != B.speaker:
            continue
        if A.phone != X.phone or A.phone == B.phone or across == (A.speaker == X.speaker):
            continue
        key = ((A.phone, B.phone), A.speaker, (A.context, X.speaker))
        to_a, to_b = distance[x, a], distance[x, b]
        cells.setdefault(key, []).append(0.5 if to_a == to_b else float(to_a > to_b))
    by_speaker: dict[tuple, list[float]] = {}
    for (phones, speaker, _), values in cells.items():
        by_speaker.setdefault((phones, speaker), []).append(float(np.mean(values)))
    by_phones: dict[tuple, list[float]] = {}
    for (phones, _), values in by_speaker.items():
        by_phones.setdefault(phones, []).append(float(np.mean(values)))
    return float(np.mean([np.mean(values) for values in by_phones.values()]))


@pytest.mark.parametrize("kind", ["within", "across"])
@pytest.mark.parametrize("distance", ["angular", "identical"])
def test_fastabx_says_the_same(kind, distance):
    items, frames, units = made_up()
    task = within_speaker(items) if kind == "within" else across_speakers(items, 99)
    found = errors(task, frames if distance == "angular" else units).pooled()
    assert found == pytest.approx(FASTABX[distance, kind], abs=1e-6)


# fastabx's score_details drops speaker_x before it collapses: contexts and speakers of X together
ORDERS = {
    "fastabx's": (("context", "x"), ("speaker",)),
    "speakers of X first": (("x",), ("context",), ("speaker",)),
    "contexts first": (("context",), ("x",), ("speaker",)),
    "speakers before contexts": (("speaker",), ("context", "x")),
    "all at once": (("context", "x", "speaker"),),
    "over phones too": (("context", "x", "speaker", "phones"),),
}


@pytest.mark.parametrize("distance", ["angular", "identical"])
def test_any_other_order_of_averages_would_show(distance):
    """Items are so uneven over speakers and contexts that the figures above tell orders apart."""
    items, frames, units = made_up()
    task = across_speakers(items, 99)
    apart = distances(task, frames if distance == "angular" else units)
    scored = []
    for cell in task.cells:
        x = items[task.pairs[cell.to_a[0, 0], 0]]
        keys = {"phones": cell.phones, "speaker": cell.speaker, "context": x.context}
        scored.append((keys | {"x": x.speaker}, cell_error(cell, apart)))
    found = {name: collapsed(scored, levels) for name, levels in ORDERS.items()}
    right = FASTABX[distance, "across"]
    assert found.pop("fastabx's") == pytest.approx(right, abs=1e-6)
    assert all(abs(value - right) > 1e-4 for value in found.values()), found


def collapsed(scored, levels) -> float:
    """Mean over each level in turn, then over what is left."""
    for level in levels:
        groups: dict[tuple, list[float]] = {}
        for keys, value in scored:
            rest = tuple((key, kept) for key, kept in keys.items() if key not in level)
            groups.setdefault(rest, []).append(value)
        scored = [(dict(rest), float(np.mean(values))) for rest, values in groups.items()]
    return float(np.mean([value for _, value in scored]))


@pytest.mark.parametrize("across", [False, True])
def test_against_triplet_by_triplet(across):
    items = made_up(1)[0][:45]
    # any distances will do, with ties
    table = np.random.default_rng(2).integers(0, 5, (45, 45)).astype(np.float32)
    task = across_speakers(items, 99) if across else within_speaker(items)
    found = AbxErrors(task, table[tuple(task.pairs.T)]).pooled()
    assert found == pytest.approx(slow_error(items, table, across))
    assert task.num_triplets > 100


@pytest.mark.parametrize("across", [False, True])
def test_perfect_and_useless_representations(across):
    items, _, units = made_up()
    task = across_speakers(items, 99) if across else within_speaker(items)
    names = [np.full(len(u), ord(i.phone)) for i, u in zip(items, units, strict=True)]
    assert errors(task, names).pooled() == 0
    assert errors(task, [np.zeros_like(u) for u in units]).pooled() == 0.5
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 3, len(u)) for u in units]
    assert abs(errors(task, noise).pooled() - 0.5) < 0.1


@pytest.mark.parametrize("across", [False, True])
def test_a_speaker_that_is_not_drawn_does_not_count(across):
    items, frames, _ = made_up()
    task = across_speakers(items, 99) if across else within_speaker(items)
    found = errors(task, frames)
    weights = np.array([[1, 1, 1, 1], [2, 2, 0, 2], [0, 0, 3, 0]])
    whole, without, alone = found.weighted(weights)
    assert whole == pytest.approx(found.pooled())
    others = dataclasses.replace(task, cells=[cell for cell in task.cells if cell.speaker != 2])
    assert without == pytest.approx(errors(others, frames).pooled())
    assert alone != without


def test_speakers_of_x_are_capped_by_a_seed():
    items = made_up()[0]
    pairs = [across_speakers(items, 1, seed).pairs.tolist() for seed in (0, 0, 1)]
    assert pairs[0] == pairs[1] != pairs[2]
    few, every = across_speakers(items, 1), across_speakers(items, 99)
    groups = {
        (cell.speaker, cell.phones, items[few.pairs[cell.to_b[0, 0], 0]].context)
        for cell in few.cells
    }
    assert len(few.cells) == len(groups) < len(every.cells)


def test_nothing_to_compare():
    alone = [Item("u", 0, 3, "a", ("b", "c"), "s")]
    task = within_speaker(alone)
    assert not task.cells
    assert task.pairs.shape == (0, 2)
    assert task.num_triplets == 0
