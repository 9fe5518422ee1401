"""Mistakes in a call of ESPnet's training, each in a line that names the file.

ESPnet answers them with its 130 lines of options, or with a traceback after the model is built.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espnet2.tasks.abs_task import optim_classes, scheduler_classes

from espnet_entropy.utils.config import check_choice, nearest, read_yaml

OURS = ("frontend", "encoder")  # UnitTask knows what their keys mean
FILES = ("token_list", "bpemodel", "train_shape_file", "valid_shape_file")


class CheckedCall:
    """Mixed in before one of ESPnet's tasks."""

    @classmethod
    def main(cls, args: argparse.Namespace | None = None, cmd: Sequence[str] | None = None) -> None:
        """Check the call, then train.

        Raises:
            ValueError: naming what is wrong with it.
        """
        if args is None:
            words = list(sys.argv[1:] if cmd is None else cmd)
            check_configuration(cls, words)
            args = cls.get_parser().parse_args(words)  # type: ignore[attr-defined]
            check_files(args)
        super().main(args=args)  # type: ignore[misc]


def check_configuration(task: Any, words: Sequence[str]) -> None:
    """Check the keys of ``--config``, and those of every ``<part>_conf`` in it.

    Args:
        task: ESPnet's.
        words: of the command line.

    Raises:
        ValueError: naming the file, the key and the nearest known one.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config")
    path = finder.parse_known_args(list(words))[0].config
    if path is None:
        return
    content = read_yaml(path)
    if not content:
        raise ValueError(f"{path}: empty; expected a training configuration.")
    options = {action.dest: action for action in task.get_parser()._actions}
    for key, value in content.items():
        if key not in options:
            raise ValueError(
                f"{path}: unknown key '{key}'; expected an option of ESPnet's training."
                f"{nearest(str(key), options)}"
            )
        option = options[key]
        if option.choices is not None and _converted(option, value) not in option.choices:
            choices = [choice for choice in option.choices if choice is not None]
            check_choice(str(value), choices, key, str(path))
        if option.default and isinstance(option.default, dict):
            _check_keys(value, option.default, f"{path}: {key}")
    parts = {choices.name: choices.classes for choices in task.class_choices_list}
    for part, classes in (parts | {"optim": optim_classes, "scheduler": scheduler_classes}).items():
        name = content.get(part, options[part].default)
        if name is not None and part not in OURS:
            _check_conf(content.get(f"{part}_conf"), classes[name], f"{path}: {part}_conf")


def _converted(option: argparse.Action, value: Any) -> Any:
    """A value as the command line would have it: ESPnet lowers the case of names."""
    return option.type(value) if callable(option.type) and isinstance(value, str) else value


def _check_conf(conf: Any, made: type, where: str) -> None:
    """Refuse keys that a class does not take."""
    parameters = inspect.signature(made).parameters
    if all(p.kind != inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        _check_keys(conf, parameters, where)


def _check_keys(conf: Any, known: Mapping[str, Any], where: str) -> None:
    for key in conf if isinstance(conf, Mapping) else ():
        if key not in known:
            hint = nearest(str(key), known) or f" Known: {', '.join(known)}."
            raise ValueError(f"{where}: unknown key '{key}'.{hint}")


def check_files(args: argparse.Namespace) -> None:
    """Refuse data and token lists that are not there.

    Raises:
        ValueError: naming option and file.
    """
    for option, path in _files(args):
        if not Path(path).exists():
            raise ValueError(
                f"--{option}: {path}: no such file; check the option, or run the recipe's stages "
                "before 'train'."
            )


def _files(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    for mode in ("train", "valid"):
        option = f"{mode}_data_path_and_name_and_type"
        yield from ((option, item[0]) for item in getattr(args, option))
    for option in FILES:
        given = getattr(args, option, None)
        if isinstance(given, str):
            given = [given]
        yield from ((option, path) for path in given or () if isinstance(path, str))
