"""The ``espnet-entropy`` command: compress speech, transcribe it, describe a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy import __version__
from espnet_entropy.models import DEFAULT, resolve, shipped
from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options; nothing heavy is imported to show them."""
    parser = Parser(
        prog="espnet-entropy",
        description="Speech as groups of units, cut where the next unit is hard to predict.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_compress(commands)
    _add_transcribe(commands)
    info = commands.add_parser("info", help="describe a model or a recognizer")
    info.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="exp/compressor, exp/asr_*/recognizer, or a shipped model (default: "
        f"{DEFAULT}; shipped: {', '.join(shipped()) or 'none'})",
    )
    info.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _add_compress(commands: argparse._SubParsersAction[Parser]) -> None:
    compress = commands.add_parser(
        "compress",
        help="audio files to units, entropies and groups",
        description="Writes one JSON line per utterance (with --stream: one per group, as soon "
        "as it closes). A file that cannot be read is named, skipped and counted; the exit status "
        "is then 1.",
    )
    add = compress.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="audio files, wav.scp files, or - for stdin")
    add(
        "--model",
        metavar="MODEL",
        help=f"model directory (exp/compressor), or a shipped model (default: {DEFAULT})",
    )
    add("--rate", type=float, help="groups per second of audio (default: the model's)")
    add("--criterion", help="where groups begin (default: the model's; see espnet-entropy info)")
    add("--output", type=Path, metavar="FILE", help="JSON lines (default: standard output)")
    add("--textgrid", type=Path, metavar="DIR", help="also write <utt>.TextGrid, for Praat")
    add("--plot", type=Path, metavar="DIR", help="also write <utt>.png: spectrogram and entropy")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    add(
        "--stream",
        action="store_true",
        help="read one growing file, FIFO or stdin (16 kHz mono WAV, or raw 16-bit little-endian); "
        "units may differ from those of the whole file, as features know only what was heard",
    )
    add(
        "--follow",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="with --stream: the file has ended when it has not grown for so long",
    )


def _add_transcribe(commands: argparse._SubParsersAction[Parser]) -> None:
    transcribe = commands.add_parser(
        "transcribe",
        help="audio files to text",
        description="Writes one line per utterance: its name and its text. A file that cannot be "
        "read is named, skipped and counted; the exit status is then 1.",
    )
    add = transcribe.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="audio files, wav.scp files")
    add(
        "--model",
        type=Path,
        required=True,
        metavar="DIR",
        help="recognizer directory (exp/asr_*/recognizer)",
    )
    add("--json", action="store_true", help="as JSON lines, with tokens, score and rate")
    add("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    add("--beam_size", type=int, help="hypotheses kept; 1 is greedy (default: the model's)")
    add("--max_length", type=int, help="tokens after which a text is cut (default: the model's)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 …")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; exit status 1 if some inputs had to be skipped.

    Raises:
        ValueError: for input that stops the whole run.
    """
    args = get_parser().parse_args(argv)
    setup_logging()
    if args.command == "info":
        _info(args)
        return
    if args.command == "transcribe":
        from espnet_entropy.recognizer.transcribe import transcribe_files

        if transcribe_files(args):
            sys.exit(1)
        return
    if args.stream:
        from espnet_entropy.compressor.live import compress_stream

        compress_stream(args)
        return
    from espnet_entropy.compressor.batch import compress_files

    if compress_files(args):
        sys.exit(1)


def _info(args: argparse.Namespace) -> None:
    model = resolve(args.model)
    if (model / "recognizer.yaml").exists():
        from espnet_entropy.recognizer.describe import describe
    else:
        from espnet_entropy.compressor.describe import describe
    print(describe(model, as_json=args.json))


def entry() -> None:
    """Console script."""
    run_main(main)


if __name__ == "__main__":
    entry()
