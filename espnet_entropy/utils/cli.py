"""What every command shares: logging, and errors as one line instead of a traceback."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any


def setup_logging(level: int = logging.INFO) -> None:
    """Log to stderr with time, module and level, as ESPnet's commands do."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )


def run_main(main: Callable[[Sequence[str] | None], None]) -> None:
    """Run a command's ``main``; a ``ValueError`` becomes ``error: …`` and exit status 2."""
    try:
        main(None)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output went away: nothing is wrong with us
        sys.stderr.close()
        sys.exit(141)


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except those that say nothing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or isinstance(action.default, bool):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """``argparse`` that shows defaults and refuses abbreviated option names."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **kwargs)


def paired(sources: Sequence[str], targets: Sequence[str], names: str) -> list[tuple[str, str]]:
    """The sets of a command that serves several in one process, each with where it goes.

    Starting Python and its libraries once costs less than the work on a small set.

    Args:
        sources: directories to read.
        targets: directories to write, as many.
        names: of the two options, for the message.

    Raises:
        ValueError: if their numbers differ.
    """
    if len(sources) != len(targets):
        raise ValueError(
            f"{names}: expected as many of the one as of the other, got {len(sources)} and "
            f"{len(targets)}."
        )
    return list(zip(sources, targets, strict=True))
