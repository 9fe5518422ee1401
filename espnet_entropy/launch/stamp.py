"""Stamps of recipe stages: was a stage finished with the same inputs and settings?

A stamp is a small JSON file with the SHA-256 of every input file and the settings.
``check`` answers ``done`` or ``run``; if something changed since, it says what.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.launch.lock import hold
from espnet_entropy.utils.cli import Parser, run_main
from espnet_entropy.utils.files import atomic_write, sha256_file


def describe(stage: str, settings: str, inputs: Sequence[Path]) -> dict[str, Any]:
    """What a stage depends on: its settings and the content of its input files.

    Raises:
        ValueError: if an input is missing: the stage before it has not run.
    """
    inputs = [path for path in inputs if not path.is_dir()]
    missing = [str(path) for path in inputs if not path.is_file()]
    if missing:
        raise ValueError(
            f"stage {stage}: missing input {', '.join(missing)}; run the stages before it first."
        )
    return {
        "stage": stage,
        "settings": settings,
        "inputs": {str(path): sha256_file(path) for path in inputs},
    }


def changes(old: dict[str, Any], new: dict[str, Any], whole: bool = False) -> list[str]:
    """Sentences that name what differs between two descriptions.

    An input that came or went (a set was added) is no difference: the stage has to run, but
    what it made before is still right.

    Args:
        old: of a stamp.
        new: of the present.
        whole: the outputs are made from all inputs together, in their order: one that went, or
            changed places, is a difference.
    """
    found = []
    if old["settings"] != new["settings"]:
        found.append(f"settings were '{old['settings']}' and are now '{new['settings']}'")
    for path in sorted(set(old["inputs"]) & set(new["inputs"])):
        if old["inputs"][path] != new["inputs"][path]:
            found.append(f"{path} has changed")
    kept = [path for path in new["inputs"] if path in old["inputs"]]
    if whole and kept != list(old["inputs"]):
        found.append(f"it read {' '.join(old['inputs'])} and now reads {' '.join(new['inputs'])}")
    return found


def is_done(stamp: Path, now: dict[str, Any], outputs: Sequence[Path]) -> bool:
    """Whether a stage was finished with the same inputs and settings, and its outputs are there."""
    if not stamp.is_file():
        return False
    old = json.loads(stamp.read_text(encoding="utf-8"))
    # in the same order: it may say which set is the train set
    same = not changes(old, now) and list(old["inputs"]) == list(now["inputs"])
    return bool(same and old["finished"] and all(path.exists() for path in outputs))


def check(
    stamp: Path,
    now: dict[str, Any],
    outputs: Sequence[Path],
    remake: bool = False,
    whole: bool = False,
) -> str:
    """``"done"`` if the stage need not run, else ``"run"`` (and note that it has begun).

    A stage that was begun but not finished runs again and may continue its own half-done work,
    as long as what it depends on has not changed since.

    Args:
        stamp: the stamp file.
        now: :func:`describe` of the present.
        outputs: files or directories of the stage; removed when it is remade.
        remake: make a stale stage anew instead of stopping.
        whole: as :func:`changes`.

    Raises:
        ValueError: if the stage is stale and ``remake`` is false; names what changed.
    """
    if is_done(stamp, now, outputs):
        return "done"
    if stamp.is_file():
        old = json.loads(stamp.read_text(encoding="utf-8"))
        differences = changes(old, now, whole)
        if differences and not remake:
            raise ValueError(
                f"stage {now['stage']} was made from something else: {'; '.join(differences)}. "
                f"To make it anew, and what follows where that changes its inputs: "
                f"--stage {now['stage']} --remake true"
            )
        if differences:
            write(stamp, old, finished=False)  # a kill may leave a part of the outputs
            _remove(outputs)
    write(stamp, now, finished=False)
    return "run"


def write(stamp: Path, now: dict[str, Any], finished: bool) -> None:
    """Write a stamp atomically."""
    with atomic_write(stamp) as stream:
        json.dump({**now, "finished": finished}, stream, indent=1)


def _remove(outputs: Sequence[Path]) -> None:
    for path in outputs:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.launch.stamp``."""
    parser = Parser(description=__doc__)
    parser.add_argument("action", choices=["check", "write"])
    parser.add_argument("stamp", type=Path, help="the stamp file")
    parser.add_argument("--stage", required=True, help="name of the stage")
    parser.add_argument("--settings", default="", help="options that decide the result")
    parser.add_argument("--inputs", nargs="*", type=Path, default=[], help="input files")
    parser.add_argument("--outputs", nargs="*", type=Path, default=[], help="what the stage makes")
    parser.add_argument("--remake", choices=["true", "false"], default="false")
    parser.add_argument("--whole", choices=["true", "false"], default="false")
    parser.add_argument(
        "--lock",
        nargs=3,
        metavar=("FILE", "DESCRIPTOR", "PID"),
        help="lock this file, inherited under that descriptor from that process, if it is to run",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Check or write one stamp."""
    args = get_parser().parse_args(argv)
    now = describe(args.stage, args.settings, args.inputs)
    if args.action == "check":
        # a stage that is done is no one's work: runs that share it do not get into each other's way
        if args.lock is not None and not is_done(args.stamp, now, args.outputs):
            path, descriptor, pid = args.lock
            hold(int(descriptor), Path(path), int(pid))
        remake, whole = args.remake == "true", args.whole == "true"
        print(check(args.stamp, now, args.outputs, remake, whole))
        return
    missing = [str(path) for path in args.outputs if not path.exists()]
    if missing:
        raise ValueError(f"stage {args.stage} ended without making {', '.join(missing)}.")
    write(args.stamp, now, finished=True)


if __name__ == "__main__":
    run_main(main)
