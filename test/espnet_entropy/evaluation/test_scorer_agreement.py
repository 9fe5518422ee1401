"""Two scorers of the same units."""

import json

import kaldiio
import numpy as np
import pytest

from espnet_entropy.bin import compare_scorers

SEGMENTER = """\
criteria: [{criterion: global}, {criterion: global, min_group: 3}, {criterion: dedup}]
rates: [15, 7]
default: {criterion: global, rate: 15}
"""
N = 200


def dump(path, entropies, units=None, lm="lm"):
    """A scored dump of N units each."""
    path.mkdir(parents=True)
    target = f"ark,scp:{path / 'scored.ark'},{path / 'scored.scp'}"
    with kaldiio.WriteHelper(target) as writer:
        for i, entropy in enumerate(entropies):
            unit = np.arange(N) % 7 if units is None else units[i]
            writer(f"u{i:02d}", np.stack([unit, entropy], axis=1).astype(np.float32))
    (path / "utt2num_samples").write_text(
        "".join(f"u{i:02d} {320 * N + 80}\n" for i in range(len(entropies)))
    )
    (path / "meta.yaml").write_text(f"tokenizer: tok\nentropy_lm: {lm}\nnum_clusters: 7\n")
    return path


def compare(tmp_path, small, large, swapped=None, **more):
    """The result for dumps that are their own valid sets."""
    (tmp_path / "segmenter.yaml").write_text(SEGMENTER)
    one = dump(tmp_path / "small", small, lm="small")
    two = dump(tmp_path / "large", large, **more)
    words = ["--scored", one, "--reference", two, "--calibrate_on", *(swapped or (one, two))]
    words += ["--segmenter", tmp_path / "segmenter.yaml", "--out", tmp_path / "out"]
    compare_scorers.main([str(word) for word in words])
    found = json.loads((tmp_path / "out/score.json").read_text())
    return found, {(e["criterion"], e["rate"]): e for e in found["agreement"]}


@pytest.fixture
def entropies():
    return list(np.random.default_rng(0).random((40, N)))


def test_equal_entropies_keep_everything(tmp_path, entropies, capsys):
    found, entries = compare(tmp_path, entropies, entropies)
    assert set(entries) == {(c, r) for c in ("global", "global_min3") for r in (15, 7)}
    assert all(e["kept"]["estimate"] == e["same"]["estimate"] == 1 for e in entries.values())
    assert found["correlation"] == pytest.approx(1)
    assert "100.0 [100.0, 100.0]" in capsys.readouterr().out


def test_another_scale_makes_no_difference(tmp_path, entropies):
    """Each has its own threshold."""
    _, entries = compare(tmp_path, [3 * e + 1 for e in entropies], entropies)
    assert all(e["kept"]["estimate"] == 1 for e in entries.values())


def test_starts_one_unit_late_are_kept_but_not_the_same(tmp_path):
    """Peaks eight units apart, so that a late one is near no other."""
    large = np.zeros((40, N))
    large[:, 8::8] = np.random.default_rng(0).uniform(1, 2, large[:, 8::8].shape)
    small = np.roll(large, 1, axis=1)
    _, entries = compare(tmp_path, list(small), list(large))
    entry = entries["global", 7]
    assert entry["kept"]["estimate"] == 1
    assert entry["same"]["estimate"] == 0


def test_unrelated_entropies_keep_as_many_as_chance(tmp_path, entropies):
    other = list(np.random.default_rng(1).random((40, N)))
    found, entries = compare(tmp_path, other, entropies)
    entry = entries["global", 15]
    # a start at rate r is within a unit of one of three places, hence above 1 - (1 - r)^3 - little
    share = 15 / 50
    assert entry["chance"] == pytest.approx(entry["kept"]["estimate"], abs=0.03)
    assert 0.5 < entry["chance"] < 1 - (1 - share) ** 3 + 0.03
    assert abs(found["correlation"]) < 0.05
    # groups of at least three units at 15 Hz are nearly all of three: any order finds the same
    for rate in (15, 7):
        limited = entries["global_min3", rate]
        assert limited["chance"] == pytest.approx(limited["kept"]["estimate"], abs=0.03)
    assert entries["global_min3", 15]["chance"] > 0.85
    assert entry["rates"] == pytest.approx([15, 15], abs=0.1)


def test_other_units_are_refused(tmp_path, entropies):
    units = [np.arange(N) % 7 for _ in entropies]
    units[3] = units[3][::-1]
    with pytest.raises(ValueError, match=r"small: u03: other units than in large"):
        compare(tmp_path, entropies, entropies, units=units)


def test_other_utterances_are_refused(tmp_path, entropies):
    with pytest.raises(ValueError, match="40 and 39 utterances"):
        compare(tmp_path, entropies, entropies[1:])


def test_dumps_in_another_order_are_refused(tmp_path, entropies):
    two = dump(tmp_path / "large2", entropies)
    lines = (two / "scored.scp").read_text().splitlines(keepends=True)
    (two / "scored.scp").write_text("".join(reversed(lines)))
    (tmp_path / "segmenter.yaml").write_text(SEGMENTER)
    one = dump(tmp_path / "small2", entropies, lm="small")
    words = ["--scored", one, "--reference", two, "--calibrate_on", one, two]
    words += ["--segmenter", tmp_path / "segmenter.yaml", "--out", tmp_path / "out"]
    with pytest.raises(ValueError, match="expected scores of the same units"):
        compare_scorers.main([str(word) for word in words])


def test_valid_sets_of_the_other_lm_are_refused(tmp_path, entropies):
    swapped = (tmp_path / "large", tmp_path / "small")
    with pytest.raises(ValueError, match="give the valid set by the small LM, then by the large"):
        compare(tmp_path, entropies, entropies, swapped=swapped)
