"""Train on units: ESPnet's ``st_train`` with ``frontend: units``, ``encoder: cale`` known to it.

python -m espnet_entropy.bin.st_train --config conf/train_st.yaml ... (ESPnet's options)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

# At top level: workers that ESPnet spawns import this module anew and need the registration.
from espnet_entropy.tasks.st import UnitSTTask


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's parser of the ST task."""
    parser: argparse.ArgumentParser = UnitSTTask.get_parser()
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ESPnet's ST task."""
    UnitSTTask.main(cmd=list(argv) if argv is not None else None)


if __name__ == "__main__":
    from espnet_entropy.utils.cli import run_main

    run_main(main)
