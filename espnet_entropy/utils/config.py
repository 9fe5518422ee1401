"""YAML in ESPnet's shape into validated, frozen dataclasses.

Unknown keys are errors that suggest the nearest known name; wrong types name the
key, the value and what was expected. Nested dataclasses, ``X | None``, ``list[X]``,
``tuple[X, ...]``, ``dict[str, X]`` and ``Literal`` are understood.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from espnet_entropy.utils.files import atomic_write

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known name nearest to ``name``, or ``""``."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""


@contextmanager
def naming(where: str | Path | None) -> Iterator[None]:
    """Errors within the context begin with ``where``: the file that holds what is wrong."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from error


def check_choice(value: str, known: Iterable[str], what: str, where: str = "") -> str:
    """Return ``value`` if it is one of ``known``.

    Raises:
        ValueError: naming ``what``, the choices and the nearest one.
    """
    choices = list(known)
    if value not in choices:
        place = f"{where}: " if where else ""
        raise ValueError(
            f"{place}unknown {what} '{value}'; expected one of {', '.join(map(str, choices))}."
            f"{nearest(str(value), map(str, choices))}"
        )
    return value


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping (an empty file is ``{}``).

    Raises:
        ValueError: if the file is missing, is not YAML, or is not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such configuration file; check the path.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}{_yaml_problem(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(
            f"{path}: expected 'key: value' lines at the top level, got {type(content).__name__}."
        )
    return content


def _yaml_problem(error: Exception) -> str:
    """Line and kind of a mistake in YAML, on one line."""
    mark, problem = (getattr(error, name, None) for name in ("problem_mark", "problem"))
    line = "" if mark is None else f", line {mark.line + 1}"
    return (
        f"{line}: not valid YAML ({problem or ' '.join(str(error).split())}); check brackets, "
        "quotes and indentation there."
    )


def write_yaml(path: str | Path, content: Any) -> None:
    """Write ``content`` (a mapping or a dataclass) atomically as YAML, keys in order."""
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        content = to_dict(content)
    with atomic_write(path) as stream:
        yaml.safe_dump(content, stream, sort_keys=False, allow_unicode=True)


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain dicts, lists and scalars, ready for YAML or JSON."""
    plain = _plain(dataclasses.asdict(config))
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def load_config(cls: type[T], path: str | Path, overrides: Mapping[str, Any] | None = None) -> T:
    """Read the YAML file ``path`` into the dataclass ``cls``.

    Args:
        cls: a dataclass; its ``__post_init__`` may raise ``ValueError``.
        path: the YAML file.
        overrides: top-level keys that replace those of the file (command line).

    Raises:
        ValueError: naming the file and the key.
    """
    content = read_yaml(path)
    content.update(overrides or {})
    return from_dict(cls, content, where=str(path))


def from_dict(cls: type[T], content: Mapping[str, Any], where: str = "configuration") -> T:
    """Build the dataclass ``cls`` from a mapping, checking names and types.

    Raises:
        ValueError: for an unknown, missing or ill-typed key; the message begins with ``where``.
    """
    assert dataclasses.is_dataclass(cls), cls
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in fields:
            raise ValueError(
                f"{where}: unknown key '{key}'; known: {', '.join(fields)}."
                f"{nearest(str(key), fields)}"
            )
        values[key] = _convert(hints[key], value, f"{where}: {key}")
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: missing key(s) {', '.join(missing)}.")
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    """``value`` as ``hint`` asks, or a ``ValueError`` that says what was expected."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, where)
    if origin is Literal:
        return check_choice(value, args, where.rsplit(": ", 1)[-1], where.rsplit(": ", 1)[0])
    if dataclasses.is_dataclass(hint):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, Mapping):
            raise _wrong(where, "a mapping", value)
        assert isinstance(hint, type)
        return from_dict(hint, value, where)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a list", value)
        return origin(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict or hint is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, "a mapping", value)
        inner = args[1] if args else Any
        return {str(k): _convert(inner, v, f"{where}.{k}") for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    errors = []
    for option in args:
        if option is type(None):
            continue
        try:
            return _convert(option, value, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError(errors[0])


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise _wrong(where, "true or false", value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        try:  # PyYAML reads 1e-4 as a string; what was meant is clear
            return float(value)
        except ValueError:
            raise _wrong(where, "a number", value) from None
    if hint is str and isinstance(value, str):
        return value
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    names = {int: "a whole number", float: "a number", str: "a string", Path: "a path"}
    raise _wrong(where, names.get(hint, str(hint)), value)


def _wrong(where: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{where}: expected {expected}, got {value!r}.")
