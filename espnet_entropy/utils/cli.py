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
