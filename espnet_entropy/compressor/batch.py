"""``espnet-entropy compress``: files and wav.scp lists to JSON lines, TextGrids and pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from espnet_entropy.compressor.compressor import CompressedSpeech, Compressor
from espnet_entropy.compressor.output import save_textgrid, utterance_record
from espnet_entropy.corpora.audio import load_audio
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write, safe_name
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_scp


def list_inputs(inputs: list[str]) -> dict[str, str]:
    """Utterance ids and paths: a wav.scp counts by its lines, a file by its stem.

    Raises:
        ValueError: if two inputs have the same id, or one is stdin.
    """
    if "-" in inputs:
        raise ValueError("-: standard input needs --stream; add it, or name audio files.")
    utts: dict[str, str] = {}
    for item in inputs:
        path = Path(item)
        found = read_scp(path) if path.suffix == ".scp" else {path.stem: item}
        twice = sorted(set(found) & set(utts))
        if twice:
            raise ValueError(
                f"two inputs have the name '{twice[0]}' ({utts[twice[0]]} and {found[twice[0]]}); "
                "give a wav.scp with different utterance ids."
            )
        utts.update(found)
    return utts


def compress_files(args: argparse.Namespace) -> int:
    """Compress every input that can be read; the rest is named.

    Returns:
        The number of inputs that were skipped.

    Raises:
        ValueError: for a wrong model, rate or criterion, or if no input could be read.
    """
    utts = list_inputs(args.inputs)
    compressor = Compressor.from_pretrained(args.model, args.rate, args.criterion, args.device)
    failures = FailureLog("compress", None, max_failed=1.0)
    with open_output(args.output) as out:
        for utt, path in progress(utts.items(), "compress"):
            try:
                wav = load_audio(path)
                speech = compressor(wav)
            except ValueError as error:
                failures.add(utt, error)
                continue
            print(json.dumps(utterance_record(utt, speech), ensure_ascii=False), file=out)
            if args.textgrid is not None:
                save_textgrid(args.textgrid / f"{safe_name(utt)}.TextGrid", speech)
            if args.plot is not None:
                _plot(args.plot / f"{safe_name(utt)}.png", utt, wav, speech)
        refuse_if_all_failed(failures, len(utts))  # before an output file appears
    failures.close(len(utts))
    return len(failures.failed)


def refuse_if_all_failed(failures: FailureLog, count: int) -> None:
    """Stop where not one of ``count`` inputs could be read.

    Raises:
        ValueError: naming the first ones, with the reasons.
    """
    if count and len(failures.failed) == count:
        first = [f"  {utt}: {why}" for utt, why in list(failures.failed.items())[:5]]
        raise ValueError(
            f"{failures.stage}: no input could be read. The first ones:\n" + "\n".join(first)
        )


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[str]]:
    """``path``, whole or absent, or standard output for ``None``."""
    if path is None:
        yield sys.stdout
        return
    with atomic_write(path) as stream:
        yield stream


def _plot(path: Path, utt: str, wav: np.ndarray, speech: CompressedSpeech) -> None:
    from espnet_entropy.evaluation.plots import plot_utterance

    plot_utterance(path, utt, wav, speech)
