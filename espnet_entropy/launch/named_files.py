"""The files that a configuration names: what a stage reads beside it.

python -m espnet_entropy.launch.named_files conf/tokenizer.yaml
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.models import MANIFEST, resolve, shipped
from espnet_entropy.utils.cli import Parser, run_main
from espnet_entropy.utils.config import read_yaml

DESCRIPTIONS = (".yaml", ".json")  # of a model's directory; ours hold fingerprints of its weights


def with_named(config: Path) -> list[Path]:
    """A configuration, and what its values name: files, and the descriptions in directories.

    A model that comes with the toolkit is told by its manifest. A value that names nothing here (a
    model of a hub) adds nothing; of a configuration that cannot be read, only itself is told: the
    stage will say why.

    Args:
        config: YAML; paths in it are relative to the current directory.
    """
    try:
        content = read_yaml(config)
    except ValueError:
        return [config]
    found = [config]
    for value in _strings(content):
        if os.path.isdir(value) and "/" in value:  # a word may be the name of a directory by chance
            inside = sorted(Path(value).iterdir())
            found += [file for file in inside if file.suffix in DESCRIPTIONS and file.is_file()]
        elif value in shipped():
            found.append(resolve(value) / MANIFEST)
        elif os.path.isfile(value):
            found.append(Path(value))
    return list(dict.fromkeys(found))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, str) and not set(value) & set(" \t\n"):  # lists of paths are words
        yield value


def get_parser() -> argparse.ArgumentParser:
    """The command's argument."""
    parser = Parser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Print them, one a line."""
    print(*with_named(get_parser().parse_args(argv).config), sep="\n")


if __name__ == "__main__":
    run_main(main)
