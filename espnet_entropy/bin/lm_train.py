"""Train an entropy LM: ESPnet's ``lm_train`` with ``lm: entropy_lm`` known to it.

python -m espnet_entropy.bin.lm_train --config conf/train_entropy_lm.yaml ... (ESPnet's options)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

# At top level: workers that ESPnet spawns import this module anew and need the registration.
from espnet_entropy.tasks.lm import EntropyLMTask


def get_parser() -> argparse.ArgumentParser:
    """ESPnet's parser of the LM task."""
    parser: argparse.ArgumentParser = EntropyLMTask.get_parser()
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ESPnet's LM task."""
    EntropyLMTask.main(cmd=list(argv) if argv is not None else None)


if __name__ == "__main__":
    from espnet_entropy.utils.cli import run_main

    run_main(main)
