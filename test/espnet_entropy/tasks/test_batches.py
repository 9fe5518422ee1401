"""Lean batches are those of ESPnet's samplers."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from espnet2.samplers.build_batch_sampler import build_batch_sampler
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_entropy.tasks.batches import LeanBatches, LeanSampler, lean_sampler
from espnet_entropy.utils import scp, table_scan

ORDERS = st.sampled_from(["descending", "ascending"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("batches")


def write(path, rows):
    path.write_text("".join(f"u{i:03} {row}\n" for i, row in enumerate(rows)))
    return str(path)


@pytest.fixture(scope="module", autouse=True)
def on_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scp, "LARGE", 0)
        patch.setattr(table_scan, "STRIDE", 4)
        yield


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["sorted", "numel"]),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=40),
    st.booleans(),
    st.integers(1, 12),
    st.integers(1, 300),
    ORDERS,
    ORDERS,
    st.booleans(),
    st.integers(1, 5),
)
def test_batches_are_espnets(folder, kind, sizes, two, size, bins, within, between, drop, least):
    files = [write(folder / "speech", [f"{n},2" for n, _ in sizes])]
    if two:
        files.append(write(folder / "text", [n for _, n in sizes]))
    options = (within, between, drop, least)
    lean = lean_sampler(kind, files, size, bins, *options)
    wanted = build_batch_sampler(kind, size, bins, files, *options)
    assert [list(batch) for batch in lean] == [list(batch) for batch in wanted]
    assert len(lean) == len(wanted)
    shuffled, other = lean.generate(0), wanted.generate(0)
    for batches in (shuffled, other):
        np.random.RandomState(3).shuffle(batches)
    assert [list(b[1::2]) for b in shuffled] == [list(b[1::2]) for b in other]


def test_a_worker_is_told_the_ids(folder):
    lean = lean_sampler("sorted", [write(folder / "s", [5, 7, 6])], 3, 0)
    assert pickle.loads(pickle.dumps(lean.batches)) == [["u001", "u002", "u000"]]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("folded", "a 3\nb 4\n", "a 3\nb 4\n"),
        ("numel", "a 3,2\nb 4,3\n", "a 3\nb 4\n"),  # widths differ: ESPnet refuses or not
        ("numel", "a 3\nb 4\n", "a 3\nc 4\n"),
        ("sorted", "b 3\na 4\n", ""),
    ],
)
def test_other_files_are_left_to_espnet(tmp_path, kind, one, other):
    (tmp_path / "one").write_text(one)
    (tmp_path / "other").write_text(other)
    files = [str(tmp_path / "one"), str(tmp_path / "other")]
    assert lean_sampler(kind, files, 2, 10) is None


def test_so_are_small_ones(folder, monkeypatch):
    monkeypatch.setattr(scp, "LARGE", 1 << 20)
    assert lean_sampler("sorted", [write(folder / "s", [5, 7])], 2, 10) is None


class Task(LeanBatches):
    @classmethod
    def build_dataset(cls, args, iter_options):
        return None


@pytest.mark.parametrize("num_batches", [2, None])
def test_only_batches_that_are_used_must_do_for_all_processes(tmp_path, monkeypatch, num_batches):
    sampler = LeanSampler(None, np.arange(5), np.array([2, 2, 1]))
    monkeypatch.setattr("espnet_entropy.tasks.batches.lean_sampler", lambda *args: sampler)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    names = "sort_in_batch sort_batch drop_last_iter min_batch_size"
    args = SimpleNamespace(
        shuffle_within_batch=False,
        ngpu=0,
        seed=0,
        num_workers=0,
        **dict.fromkeys(names.split()),
    )
    options = SimpleNamespace(
        distributed=True,
        data_path_and_name_and_type=[(str(tmp_path / "text"), "text", "text")],
        shape_files=["shape"],
        num_batches=num_batches,
        num_iters_per_epoch=None,
        train=False,
        collate_fn=list,
        **dict.fromkeys(("batch_type", "batch_size", "batch_bins")),
    )
    if num_batches is None:
        with pytest.raises(ValueError, match=r"shape: a batch of 1 utterance\(s\) for 2 proc"):
            Task.build_sequence_iter_factory(args, options, "valid")
    else:
        Task.build_sequence_iter_factory(args, options, "valid")
        assert [len(batch) for batch in sampler.batches] == [1, 1]
