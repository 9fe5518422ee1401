"""Packed lines hold every unit once, in documents, within the context."""

import os
import pickle
import random
from itertools import pairwise
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_entropy.bin import pack_units as command
from espnet_entropy.entropy_lm.packing import cut, pack, pack_units, packing_options

K = 7


def write_units(directory: Path, units: dict[str, np.ndarray], tokenizer: str = "tok") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    scp = directory / "units.scp"
    with kaldiio.WriteHelper(f"ark,scp:{directory / 'units.ark'},{scp}") as writer:
        for utt, values in units.items():
            writer(utt, values)
    (directory / "meta.yaml").write_text(f"tokenizer: {tokenizer}\nnum_clusters: {K}\n")
    return scp


@pytest.fixture
def units() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [1, 5, 15, 16, 31, 40, *rng.integers(1, 20, 60)]
    return {f"utt{i:03d}": rng.integers(0, K, n).astype(np.int32) for i, n in enumerate(sizes)}


def read(out: Path) -> list[np.ndarray]:
    return list(kaldiio.load_scp(str(out / "packed.scp")).values())


def documents(lines: list[np.ndarray]) -> list[tuple[int, ...]]:
    docs = []
    for line in lines:
        ends = [-1, *np.flatnonzero(line == K).tolist(), len(line)]
        docs += [tuple(line[a + 1 : b].tolist()) for a, b in pairwise(ends)]
    return docs


def best_fit(sizes: list[int], capacity: int) -> list[list[int]]:
    """Pieces of each line: the slow way, by looking at every line."""
    lines: list[list[int]] = []
    room: list[int] = []
    for piece, size in enumerate(sizes):
        fitting = [(free, line) for line, free in enumerate(room) if free > size]
        if fitting:
            _, line = min(fitting)
            lines[line].append(piece)
            room[line] -= size + 1
        else:
            lines.append([piece])
            room.append(capacity - size)
    return lines


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(3, 40))
def test_pack_keeps_all_pieces_within_capacity(lengths, capacity):
    owner, first = cut(np.array(lengths), capacity)
    sizes = np.minimum(np.array(lengths)[owner] - first, capacity)
    assert sizes.sum() == sum(lengths)
    lines = pack(sizes, capacity)
    wanted = best_fit(sizes.tolist(), capacity)
    assert [np.flatnonzero(lines == line).tolist() for line in range(max(lines) + 1)] == wanted
    fills = [sizes[lines == line].sum() + sum(lines == line) - 1 for line in range(len(wanted))]
    assert max(fills) <= capacity
    # at most one line is under half full, or its pieces would have joined another
    assert sum(fill < capacity / 2 - 1 for fill in fills) <= 1


def test_pack_takes_the_tightest_room():
    assert pack(np.array([6, 8, 3, 1]), 10).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(("context", "seed", "dedup"), [(8, 3, False), (64, 0, True)])
def test_lines_are_those_of_lists_shuffled_and_packed_slowly(tmp_path, units, context, seed, dedup):
    """The order of lines, pieces and units is fixed by list and seed, for good."""
    scp = write_units(tmp_path / "units", units)
    pack_units(scp, tmp_path / "p", context=context, dedup=dedup, seed=seed)
    if dedup:
        units = {utt: u[np.diff(u, prepend=-1) != 0] for utt, u in units.items()}
    most = context - 1
    pieces = [u[i : i + most] for u in units.values() for i in range(0, len(u), most)]
    random.Random(seed).shuffle(pieces)
    lines = best_fit([len(piece) for piece in pieces], most)
    random.Random(seed + 1).shuffle(lines)
    wanted = [[x for piece in line for x in (*pieces[piece], K)][:-1] for line in lines]
    assert [line.tolist() for line in read(tmp_path / "p")] == wanted


def test_lines_hold_every_utterance_once(tmp_path, units):
    lines = pack_units(write_units(tmp_path / "units", units), tmp_path / "packed", context=16)
    packed = read(tmp_path / "packed")
    assert len(packed) == lines
    assert all(line.dtype == np.int32 and 1 <= len(line) <= 15 for line in packed)
    wanted = [tuple(u[i : i + 15].tolist()) for u in units.values() for i in range(0, len(u), 15)]
    assert sorted(documents(packed)) == sorted(wanted)
    shapes = (tmp_path / "packed/text_shape").read_text().split()
    assert list(map(int, shapes[1::2])) == [len(line) for line in packed]
    tokens = (tmp_path / "packed/tokens.txt").read_text().splitlines()
    assert tokens == [*map(str, range(K)), "<sos/eos>"]
    meta = yaml.safe_load((tmp_path / "packed/meta.yaml").read_text())
    assert (meta["tokenizer"], meta["num_clusters"], meta["dedup"]) == ("tok", K, False)


def test_the_same_seed_gives_the_same_bytes(tmp_path, units):
    scp = write_units(tmp_path / "units", units)
    arks = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pack_units(scp, tmp_path / name, context=32, seed=seed)
        arks.append((tmp_path / name / "packed.ark").read_bytes())
    assert arks[0] == arks[1] != arks[2]


def test_killed_between_renames_leaves_no_index_of_another_archive(tmp_path, units, monkeypatch):
    scp = write_units(tmp_path / "units", units)
    pack_units(scp, tmp_path / "p", context=32)
    replace = os.replace

    def dies(source, target):
        if target.name == "text_shape":  # the archive is there by then
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        pack_units(scp, tmp_path / "p", context=16)
    assert not (tmp_path / "p/packed.scp").exists()


def test_dedup_drops_repetitions(tmp_path):
    units = {"a": np.array([1, 1, 2, 2, 2, 1], np.int32), "b": np.array([3, 3], np.int32)}
    pack_units(write_units(tmp_path / "units", units), tmp_path / "p", context=16, dedup=True)
    assert sorted(documents(read(tmp_path / "p"))) == [(1, 2, 1), (3,)]


def test_the_configuration_of_the_lm_decides(tmp_path, units):
    write_units(tmp_path / "units", units)
    config = tmp_path / "train.yaml"
    config.write_text("lm: entropy_lm\nlm_conf: {context: 16, dedup: true}\n")
    common = ["--units", str(tmp_path / "units"), "--config", str(config), "--out"]
    command.main([*common, str(tmp_path / "p")])
    pack_units(tmp_path / "units/units.scp", tmp_path / "q", context=16, dedup=True)
    for name in ("packed.ark", "meta.yaml"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "q" / name).read_bytes()
    command.main([*common, str(tmp_path / "p"), "--context", "16", "--dedup"])
    with pytest.raises(ValueError, match=r"--context 32: .*train.yaml says .*context: 16"):
        command.main([*common, str(tmp_path / "p"), "--context", "32"])
    config.write_text("lm: entropy_lm\n")
    assert packing_options(config) == (2048, False) == packing_options(None)
    with pytest.raises(ValueError, match=r"--dedup: .*train.yaml does not say"):
        command.main([*common, str(tmp_path / "p"), "--dedup"])
    for conf, message in (("{contxt: 16}", "Did you mean 'context'"), ("16", "expected a mapping")):
        config.write_text(f"lm_conf: {conf}\n")
        with pytest.raises(ValueError, match=f"train.yaml: lm_conf: .*{message}"):
            packing_options(config)


def test_bad_utterances_are_named_and_counted(tmp_path, units):
    units["bad"] = np.array([0, K], np.int32)
    scp = write_units(tmp_path / "units", units)
    pack_units(scp, tmp_path / "p", context=16)
    failed = (tmp_path / "p/packed.failed").read_text()
    assert failed.startswith(f"bad units: unit {K} at position 1")
    with pytest.raises(ValueError, match="1 of 67 utterances failed"):
        pack_units(scp, tmp_path / "p", context=16, max_failed=0.0)


def test_a_pipe_in_the_scp_is_refused_not_run(tmp_path, units):
    scp = write_units(tmp_path / "units", units)
    trace = tmp_path / "trace"
    scp.write_text(f"utt000 touch:{trace}|\n")
    with pytest.raises(ValueError, match=r"units\.scp: utt000: .* a pipe"):
        pack_units(scp, tmp_path / "p")
    scp.write_text(f"utt000 |touch${{IFS}}{trace}:3\n")
    with pytest.raises(ValueError, match=r"units\.scp: utt000: .* a pipe"):
        pack_units(scp, tmp_path / "p")
    assert not trace.exists()


def test_a_pickle_among_the_units_is_a_named_failure_and_not_run(tmp_path, units):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    scp = write_units(tmp_path / "units", units)
    (tmp_path / "bomb").write_bytes(b"PKL" + pickle.dumps(Bomb()))
    scp.write_text(scp.read_text() + f"bad {tmp_path}/bomb:0\n")
    pack_units(scp, tmp_path / "p", context=16)
    assert "bomb:0: holds b'PKL" in (tmp_path / "p/packed.failed").read_text()
    assert not (tmp_path / "ran").exists()


def test_the_command_needs_units_and_a_sane_context(tmp_path, units):
    with pytest.raises(ValueError, match="run the tokenizer stage first"):
        command.main(["--units", str(tmp_path / "none.scp"), "--out", str(tmp_path)])
    scp = write_units(tmp_path / "units", units)
    with pytest.raises(ValueError, match="context: expected an even number"):
        command.main(["--units", str(scp), "--out", str(tmp_path), "--context", "3"])
    (tmp_path / "units/meta.yaml").write_text("num_clusters: 7\n")
    with pytest.raises(ValueError, match=r"meta\.yaml: expected 'tokenizer'"):
        command.main(["--units", str(scp), "--out", str(tmp_path)])
