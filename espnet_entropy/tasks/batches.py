"""ESPnet's batches of a corpus of millions of utterances, without a list of their ids.

ESPnet's samplers read shape files into dicts and keep every id in lists and sets, in each process
of a training. Here the order of the lines is kept, 8 bytes each, and ids are read when a batch is
loaded. Batches are those that ESPnet would make, in the same order, under the same options.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from espnet2.samplers.abs_sampler import AbsSampler

from espnet_entropy.utils import scp
from espnet_entropy.utils.scp import read_table, same_keys
from espnet_entropy.utils.table import Table


class Batch(Sequence[str]):
    """Ids of a batch, read from the table when they are asked for.

    Args:
        table: has the ids; sorted.
        lines: (B,) int64, numbers of their lines.
    """

    def __init__(self, table: Table, lines: np.ndarray) -> None:
        self._table, self._lines = table, lines

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Batch: ...
    def __getitem__(self, place: int | slice) -> str | Batch:
        if isinstance(place, slice):
            return Batch(self._table, self._lines[place])
        return self._table.key(int(self._lines[place]))

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # a worker is told the ids


class LeanSampler(AbsSampler):  # type: ignore[misc]  # espnet2 has no types
    """Batches of the lines of a table.

    Args:
        table: has the ids; sorted.
        order: (N,) int64, numbers of lines: one batch after another.
        sizes: (M,) int64, utterances of each batch.
    """

    def __init__(self, table: Table, order: np.ndarray, sizes: np.ndarray) -> None:
        ends = np.cumsum(sizes)
        self.batches = [
            Batch(table, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Sequence[str]]:
        return iter(self.batches)


def read_shapes(path: str | Path) -> tuple[Table, np.ndarray, int] | None:
    """Table, (N,) int64 first numbers, and the product of the others, if all lines agree on them.

    ``None`` if the file is small, not sorted, or has several widths: then ESPnet reads it.
    """
    table = read_table(path)
    if not (isinstance(table, Table) and table.sorted):
        return None
    _, _, width = next(iter(table.values())).partition(",")
    lengths = np.empty(len(table), np.int64)
    for line, value in enumerate(table.values()):
        length, _, other = value.partition(",")
        if other != width:
            return None
        lengths[line] = int(length)
    return table, lengths, int(np.prod([int(n) for n in width.split(",")])) if width else 1


def sorted_sizes(count: int, batch_size: int, drop_last: bool) -> np.ndarray:
    """Utterances of each batch, as ESPnet's ``batch_type: sorted`` has them."""
    number = max(count // batch_size, 1)
    ends = (
        np.arange(number + 1) * batch_size if drop_last else np.arange(number + 1) * count // number
    )
    sizes: np.ndarray = np.diff(np.minimum(ends, count))
    return sizes


def numel_sizes(
    elements: np.ndarray, batch_bins: int, min_batch_size: int, drop_last: bool
) -> np.ndarray:
    """Utterances of each batch, as ESPnet's ``batch_type: numel`` has them.

    Args:
        elements: (N,) int64 of each utterance, the shortest one first.
        batch_bins: elements of a padded batch that is full.
        min_batch_size: utterances, at least.
        drop_last: leave out a last batch that is not full.
    """
    sizes: list[int] = []
    count = 0
    for begin in range(0, len(elements), 1 << 16):
        for size in elements[begin : begin + (1 << 16)].tolist():
            count += 1
            if count * size > batch_bins and count >= min_batch_size:
                sizes.append(count)
                count = 0
    if count and (not drop_last or not sizes):
        sizes.append(count)
    if len(sizes) > 1 and sizes[-1] < min_batch_size:
        for i in range(sizes.pop()):
            sizes[-(i % len(sizes)) - 1] += 1
    return np.array(sizes)


def lean_sampler(
    kind: str,
    shape_files: Sequence[str],
    batch_size: int,
    batch_bins: int,
    sort_in_batch: str = "descending",
    sort_batch: str = "ascending",
    drop_last: bool = False,
    min_batch_size: int = 1,
) -> LeanSampler | None:
    """A sampler with the batches of ESPnet's ``build_batch_sampler``; arguments as there.

    ``None`` for what ESPnet's own has to do: small files, other types and orders.
    """
    orders = ("descending", "ascending")
    if kind not in ("sorted", "numel") or {sort_in_batch, sort_batch} - set(orders):
        return None
    read = shape_files[:1] if kind == "sorted" else shape_files
    if not read or any(Path(path).stat().st_size < scp.LARGE for path in read):
        return None
    shapes = [read_shapes(path) for path in read]
    found = [shape for shape in shapes if shape is not None]
    if len(found) < len(shapes) or not all(same_keys(found[0][0], other[0]) for other in found):
        return None
    table, lengths, _ = found[0]
    falling = sort_in_batch == "descending"
    if kind == "sorted":
        order = np.argsort(-lengths if falling else lengths, kind="stable")
        sizes = sorted_sizes(len(order), batch_size, drop_last)
        order = order[: sizes.sum()]
        backwards = sort_in_batch != sort_batch
    else:
        order = np.argsort(lengths, kind="stable")
        elements = sum(lengths * width for _, lengths, width in found)
        sizes = numel_sizes(np.asarray(elements)[order], batch_bins, min_batch_size, drop_last)
        order = order[: sizes.sum()]
        if falling:  # within batches alone
            begins = np.repeat(np.cumsum(sizes) - sizes, sizes)
            ends = np.repeat(np.cumsum(sizes), sizes)
            order = order[begins + ends - 1 - np.arange(len(order))]
        backwards = sort_batch == "descending"
    sampler = LeanSampler(table, order, sizes)
    if backwards:
        sampler.batches.reverse()
    return sampler


class LeanBatches:
    """Mixed in before one of ESPnet's tasks: a large corpus is sampled by :func:`lean_sampler`."""

    @classmethod
    def build_sequence_iter_factory(
        cls, args: argparse.Namespace, iter_options: Any, mode: str
    ) -> Any:
        """ESPnet's factory of batches; with lean ones if the corpus is large.

        Raises:
            ValueError: for a batch that is smaller than the number of processes.
        """
        from espnet2.iterators.sequence_iter_factory import SequenceIterFactory
        from torch import distributed

        world, rank = 1, 0
        if iter_options.distributed:
            world, rank = distributed.get_world_size(), distributed.get_rank()
        folder = Path(iter_options.data_path_and_name_and_type[0][0]).parent
        sampler = None
        if not ((folder / "utt2category").exists() or args.shuffle_within_batch):
            sampler = lean_sampler(
                iter_options.batch_type,
                iter_options.shape_files,
                iter_options.batch_size,
                iter_options.batch_bins,
                args.sort_in_batch,
                args.sort_batch,
                args.drop_last_iter,
                world if iter_options.distributed else args.min_batch_size,
            )
        if sampler is None:
            return super().build_sequence_iter_factory(args, iter_options, mode)  # type: ignore[misc]
        if iter_options.num_batches is not None:  # first, as ESPnet judges those alone
            sampler.batches = sampler.batches[: iter_options.num_batches]
        smallest = min(map(len, sampler.batches))
        if smallest < world:
            raise ValueError(
                f"{iter_options.shape_files[0]}: a batch of {smallest} utterance(s) for {world} "
                "processes; use batch_type: numel, a larger batch_size, or drop_last_iter: true."
            )
        logging.info(f"[{mode}] {len(sampler)} batches of {iter_options.batch_type}, read lazily")
        sampler.batches = [batch[rank::world] for batch in sampler.batches]
        return SequenceIterFactory(
            dataset=cls.build_dataset(args, iter_options),  # type: ignore[attr-defined]
            batches=sampler,
            seed=args.seed,
            num_iters_per_epoch=iter_options.num_iters_per_epoch,
            shuffle=iter_options.train,
            shuffle_within_batch=False,
            num_workers=args.num_workers,
            collate_fn=iter_options.collate_fn,
            pin_memory=args.ngpu > 0,
        )
