"""What 20 000 hours cost before anything is computed: tables, packing, samplers, data sets.

    OMP_NUM_THREADS=1 nice -n 5 python tools/bench/bench_scale.py --sizes 50000 500000 5000000

Makes a corpus of synthetic utterances (13 s at 50 Hz by its tables; the archives hold ``--share``
of the units) in a scratch directory, and removes it. Each part runs in a process of its own,
forked after the imports: once with every table as a dict (``dict``, as it was), once with large
ones on disk (``disk``). Times are of the CPU, since the machine may be shared; memory is what the
process added to its own, the most at any time and what it keeps.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import random
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.corpora import format_audio
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.entropy_lm import packing
from espnet_entropy.entropy_lm.dump import UnitDump
from espnet_entropy.tasks.asr_data import prepare_set
from espnet_entropy.utils import scp
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.shards import ShardedArk, plan_shards

PER_ARCHIVE = 5000
WORDS = (
    "the of and a to in he was that his it with had as for on at her she is not be".upper().split()
)
LOOK_UPS = 20_000
CLUSTERS = 500
CONTEXT = 2048
BATCH_BINS = 160_000  # of egs2's configurations: 1600 s
ON_DISK, IN_DICTS = scp.LARGE, 1 << 62

Work = Callable[[], int]  # does some work; returns how many items that were
Part = Callable[[Path], Work | None]  # starts up; returns work to time, if there is some


def utterance_lengths(count: int) -> np.ndarray:
    """Samples of each utterance: 10 to 20 s, like MLS's; 14.4 s on the average."""
    seconds = np.random.default_rng(0).triangular(10, 13.2, 20, count)
    return (seconds * 16_000).astype(np.int64)


def make_corpus(folder: Path, count: int, share: float) -> None:
    """``data``, ``units``, ``scored`` and ``speech_shape`` of ``count`` utterances."""
    rng = random.Random(0)
    samples = utterance_lengths(count)
    numbers = rng.choices(range(CLUSTERS), k=10_000)
    pool = b"".join(struct.pack("<bi", 4, unit) for unit in numbers)
    pairs = np.array([(unit, 3.0) for unit in numbers], "<f4").tobytes()
    for name in ("data", "units/shards", "scored/shards"):
        (folder / name).mkdir(parents=True)
    texts = [" ".join(rng.choices(WORDS, k=38)) for _ in range(1000)]
    paths = ("data/wav.scp", "data/utt2spk", "data/text", "units/units.scp", "scored/scored.scp")
    names = (*paths, "numbers", "speech_shape")
    streams = [open(folder / name, "w") for name in names]  # noqa: SIM115  (closed below)
    for first in range(0, count, PER_ARCHIVE):
        rows: list[list[str]] = [[] for _ in streams]
        units, scored = bytearray(), bytearray()
        arks = [f"{folder}/{k}/shards/{k}.{first // PER_ARCHIVE}.ark" for k in ("units", "scored")]
        for i in range(first, min(first + PER_ARCHIVE, count)):
            speaker, book = 10_000 + i // 900, 10_000 + i // 100
            utt = f"{speaker}_{book:05}_{i % 100:06}"
            length = num_units(int(samples[i]))
            n, at = max(1, int(length * share)), i % 8000
            units += b"%s \0B\4%s" % (utt.encode(), struct.pack("<i", n))
            scored += b"%s " % utt.encode()
            places = len(units) - 7, len(scored)
            units += pool[5 * at : 5 * (at + n)]
            scored += b"\0BFM " + struct.pack("<bibi", 4, n, 4, 2) + pairs[8 * at : 8 * (at + n)]
            values = (
                f"downloads/mls_english/train/audio/{speaker}/{book:05}/{utt}.flac",
                speaker,
                texts[i % 1000],
                f"{arks[0]}:{places[0]}",
                f"{arks[1]}:{places[1]}",
                samples[i],
                f"{length},2",
            )
            for row, value in zip(rows, values, strict=True):
                row.append(f"{utt} {value}\n")
        for stream, row in zip(streams, rows, strict=True):
            stream.writelines(row)
        for ark, content in zip(arks, (units, scored), strict=True):
            Path(ark).write_bytes(content)
    for stream in streams:
        stream.close()
    for name in ("data", "units", "scored"):
        shutil.copy(folder / "numbers", folder / name / "utt2num_samples")
        (folder / name / "meta.yaml").write_text(f"tokenizer: t\nnum_clusters: {CLUSTERS}\n")


def some_keys(path: Path) -> list[str]:
    """``LOOK_UPS`` keys of a table, drawn at random places."""
    rng, keys = random.Random(1), list[str]()
    size = path.stat().st_size
    with open(path, "rb") as stream:
        while len(keys) < LOOK_UPS:
            stream.seek(rng.randrange(size))
            stream.readline()
            if line := stream.readline():
                keys.append(line.split()[0].decode())
    return keys


def data_directory(folder: Path) -> Work:
    """DataDir.read; then path, speaker and text of utterances at random."""
    data = DataDir.read(folder / "data")
    keys = some_keys(folder / "data/utt2spk")
    return lambda: len([(data.wavs[k], data.utt2spk[k], data.texts[""][k]) for k in keys])


def merge_format(folder: Path) -> Work:
    """Jobs of stage format, which here believe the tables and decode nothing; then their merge."""
    samples = int(utterance_lengths(1)[0])
    format_audio._Work._format = lambda work, utt: (work.data.wavs[utt], samples)
    format_audio.format_audio(folder / "data", folder / "dump")
    return lambda: format_audio.merge(folder / "data", folder / "dump")


def units_at_random(folder: Path) -> Work:
    """UnitDump; then units of utterances at random."""
    dump = UnitDump(folder / "units/units.scp")
    keys = some_keys(folder / "data/utt2spk")
    return lambda: len([dump.load(key) for key in keys])


def scorer_plan(folder: Path) -> Work:
    """What each scoring job reads to know its shards; then the units of some of them."""
    dump = UnitDump(folder / "units/units.scp")
    samples = scp.read_num_samples(folder / "units")
    assert scp.same_keys(samples, dump.entries)
    lengths = scp.convert_table(samples, lambda _, number: num_units(number))
    plan = plan_shards(lengths, 50_000)
    ark = ShardedArk(folder / "out", "scored", plan, "key", lengths)
    mine = [utt for shard in ark.shards[: LOOK_UPS // 70] for utt in shard]
    return lambda: len([dump.load(utt) for utt in mine])


def prepare_asr(folder: Path) -> Work:
    """prepare_set: join a scored dump with its texts and numbers of samples."""

    def work() -> int:
        return prepare_set(folder / "scored", folder / "data/text", folder / "asr")

    return work


def pack_lengths(folder: Path) -> Work:
    """Best fit of the true lengths alone (lines of 2047)."""
    count = int((folder / "count").read_text())
    lengths = np.array([num_units(n) for n in utterance_lengths(count).tolist()])
    if scp.LARGE == ON_DISK:
        return lambda: len(lengths) + 0 * sum(1 for _ in packing.plan_lines(lengths, 2047, 0))
    return lambda: pack_in_lists(lengths.tolist())


def pack_in_lists(lengths: list[int]) -> int:
    """Best fit as it was: a sorted list of all lines that have room."""
    room: list[tuple[int, int]] = []
    lines: list[list[int]] = []
    random.Random(0).shuffle(lengths)
    for piece, size in enumerate(lengths):
        found = bisect.bisect_left(room, (size + 1, -1))
        if found < len(room):
            free, line = room.pop(found)
            lines[line].append(piece)
            left = free - size - 1
        else:
            line, left = len(lines), CONTEXT - 1 - size
            lines.append([piece])
        if left > 1:
            bisect.insort(room, (left, line))
    return len(lengths)


def pack_all(folder: Path) -> Work:
    """pack_units: read, check, pack and write."""

    def work() -> int:
        packing.pack_units(folder / "units", folder / "packed", CONTEXT)
        return int((folder / "count").read_text())

    return work


def lm_data(folder: Path) -> Work:
    """Sampler and data set of LM training on the packed lines; then batches."""
    return batches(
        [(folder / "packed/packed.scp", "text", "units")], folder / "packed/text_shape", "sorted"
    )


def asr_data(folder: Path) -> Work:
    """Sampler (numel) and data set of ASR training, units and texts; then batches."""
    items = [
        (folder / "scored/scored.scp", "speech", "scored"),
        (folder / "data/text", "text", "text"),
    ]
    return batches(items, folder / "speech_shape", "numel")


def batches(items: list[tuple[Path, str, str]], shape: Path, kind: str) -> Work:
    """What ESPnet's trainer does before its first batch, then the loading of some batches."""
    from espnet2.fileio.read_text import read_2columns_text
    from espnet2.samplers.build_batch_sampler import build_batch_sampler
    from espnet2.train.dataset import DATA_TYPES, ESPnetDataset

    from espnet_entropy.tasks.batches import lean_sampler
    from espnet_entropy.tasks.data_types import register_data_types

    register_data_types()
    options: Any = {"shape_files": [str(shape)], "batch_size": 32, "batch_bins": BATCH_BINS}
    keys = None
    if scp.LARGE == ON_DISK:
        sampler = lean_sampler(kind, **options) or build_batch_sampler(kind, **options)
        chosen = list(sampler)
    else:
        DATA_TYPES["text"].update(func=read_2columns_text)
        chosen = list(build_batch_sampler(kind, **options))
        keys = {key for batch in chosen for key in batch}
    data = ESPnetDataset(
        [(str(path), name, kind) for path, name, kind in items],
        preprocess=_as_numbers,
        keys_to_load=keys,
    )
    random.Random(2).shuffle(chosen)

    def work() -> int:
        done = 0
        for batch in chosen:
            done += len([data[utt] for utt in batch])
            if done > LOOK_UPS // 2:
                break
        return done

    return work


def _as_numbers(_: str, item: dict[str, Any]) -> dict[str, Any]:
    return {k: np.zeros(len(v)) if isinstance(v, str) else v for k, v in item.items()}


PARTS: dict[str, Part] = {
    "data directory": data_directory,
    "merge of format": merge_format,
    "units at random": units_at_random,
    "scorer's plan": scorer_plan,
    "ASR training data": asr_data,
    "prepare for ASR": prepare_asr,
    "pack, lengths alone": pack_lengths,
    "pack, whole": pack_all,
    "LM training data": lm_data,
}
SLOW = ("pack, lengths alone", "pack, whole")  # the first is quadratic with lists


def private_mb() -> tuple[float, float]:
    """What belongs to this process alone, and what it shares with others."""
    rows = dict(
        line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    )
    mb = {name: int(value.split()[0]) / 1024 for name, value in rows.items()}
    return mb["Private_Dirty"] + mb["Private_Clean"], mb["Shared_Dirty"] + mb["Shared_Clean"]


def peak_mb() -> float:
    """Largest resident size so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(part: Part, folder: Path) -> dict[str, float]:
    """Start-up and work of a part, in this process."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of before the fork
    (own, _), peak, begin, wall = private_mb(), peak_mb(), time.process_time(), time.perf_counter()
    work = part(folder)
    result = {"start": time.process_time() - begin, "wall": time.perf_counter() - wall}
    result["held"], result["shared"] = private_mb()
    result["held"] -= own
    begin = time.process_time()
    if work is not None:
        result["rate"] = work() / max(time.process_time() - begin, 1e-9)
    result["peak"] = peak_mb() - peak
    return result


def in_a_process(part: Part, folder: Path) -> dict[str, float]:
    """:func:`measure` in a forked process."""
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            out.write_text(json.dumps(measure(part, folder)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return dict(json.loads(out.read_text())) if out.is_file() else {}


def report(folder: Path, count: int, parts: list[str], dicts: bool) -> Iterator[str]:
    """Lines of the table."""
    for name in parts:
        for kind, large in (("dict", IN_DICTS), ("disk", ON_DISK)):
            if kind == "dict" and (not dicts or (name in SLOW and count > 50_000)):
                continue
            scp.LARGE = large
            found = in_a_process(PARTS[name], folder)
            if not found:
                yield f"{count:9,} {name:20} {kind}   failed"
                continue
            yield (
                f"{count:9,} {name:20} {kind} {found['start']:9.1f} {found['wall']:9.1f} "
                f"{found['peak']:9.0f} {found['held']:9.0f} {found['shared']:9.0f} "
                f"{found['rate']:12,.0f}"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 500_000])
    parser.add_argument("--share", type=float, default=0.03, help="of the units, in the archives")
    parser.add_argument("--scratch", type=Path, help="where the corpus goes; /tmp if not given")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--dicts_up_to", type=int, default=500_000, help="utterances")
    args = parser.parse_args()
    if any("training" in name for name in args.parts):
        import espnet2.train.dataset  # noqa: F401  (before the fork: its memory is not ours)

        import espnet_entropy.tasks.batches  # noqa: F401
    print(
        f"{'utts':>9} {'part':20} {'':4} {'start CPU':>9} {'start s':>9} {'peak MB':>9} "
        f"{'kept MB':>9} {'shared MB':>9} {'items/CPU s':>12}",
        flush=True,
    )
    for count in args.sizes:
        with tempfile.TemporaryDirectory(dir=args.scratch, prefix="bench_scale.") as scratch:
            folder = Path(scratch)
            make_corpus(folder, count, args.share)
            (folder / "count").write_text(str(count))
            for line in report(folder, count, args.parts, count <= args.dicts_up_to):
                print(line, flush=True)


if __name__ == "__main__":
    main()
