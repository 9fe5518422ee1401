"""What a study needs on disk before it runs: a sweep file, and a recipe for each kind of units."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.launch.study_file import Study, study_rows, units_dir
from espnet_entropy.launch.sweep_job import as_options
from espnet_entropy.utils.config import to_dict, write_yaml
from espnet_entropy.utils.files import atomic_write

MADE = "# made by a study from its conf/study.yaml; change it there\n"


def write_sweep(study: Study, path: Path) -> None:
    """Write the study as a sweep file."""
    write_yaml(path, to_dict(study_rows(study)[0]))


def write_units(study: Study, options: Sequence[str], data: Path) -> None:
    """Write a recipe of units for each that a level names.

    Args:
        study: its file's content.
        options: of ``units.sh``, paths in them from the recipe's own directory.
        data: script that makes the data, from the present directory; what a recipe's options say
            of ``data_opts`` is given to it.
    """
    for name in dict.fromkeys(level.units for _, level in study.settings()):
        units, folder = study.units[name], Path(units_dir(name))
        call = ["../../../../TEMPLATE/units1/units.sh", *options, *as_options(units.options)]
        run = (
            f'#!/usr/bin/env bash\n{MADE}set -euo pipefail\ncd "$(dirname "${{BASH_SOURCE[0]}}")"\n'
            f'{shlex.join(call)} "$@"\n'
        )
        script = (
            f"#!/usr/bin/env bash\n{MADE}set -euo pipefail\n"
            f'exec {shlex.quote(str(data.resolve()))} "$@"\n'
        )
        _write(folder / "run.sh", run)
        _write(folder / "local/data.sh", script)
        write_yaml(folder / "conf/tokenizer.yaml", units.tokenizer)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text)
    path.chmod(0o755)
