"""Train on units: ESPnet's ``asr_train`` with ``frontend: units``, ``encoder: cale`` known to it.

python -m espnet_entropy.bin.asr_train --config conf/train_asr.yaml ... (ESPnet's options)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

# At top level: workers that ESPnet spawns import this module anew and need the registration.
from espnet_entropy.tasks.asr import UnitASRTask


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's parser of the ASR task."""
    parser: argparse.ArgumentParser = UnitASRTask.get_parser()
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ESPnet's ASR task."""
    UnitASRTask.main(cmd=list(argv) if argv is not None else None)


if __name__ == "__main__":
    from espnet_entropy.utils.cli import run_main

    run_main(main)
