"""A raw corpus becomes a data directory; one module per corpus.

A corpus is a function ``prepare(source: Path, out: Path, **options)`` that writes
``<out>/<set>/`` with :func:`espnet_entropy.corpora.data_dir.write_data_dir`, and a line here.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from espnet_entropy.utils.config import check_choice, from_dict

CORPORA: dict[str, str] = {
    "mini_synth": "espnet_entropy.corpora.mini_synth.prepare:prepare",
    "speechocean762": "espnet_entropy.corpora.speechocean762:prepare",
    "mboshi_french": "espnet_entropy.corpora.mboshi_french:prepare",
    "ljspeech_mini": "espnet_entropy.corpora.ljspeech_mini:prepare",
    "librivox_smoke": "espnet_entropy.corpora.librivox_smoke:prepare",
    "librispeech": "espnet_entropy.corpora.librispeech:prepare",
    "mls_en": "espnet_entropy.corpora.mls_en:prepare",
    "ljspeech": "espnet_entropy.corpora.ljspeech:prepare",
}
# ``lacking(source, **options)``: what is to be fetched, by offer of ``corpora.sources``
DOWNLOADS: dict[str, str] = {
    "librispeech": "espnet_entropy.corpora.librispeech:lacking",
    "mls_en": "espnet_entropy.corpora.mls_en:lacking",
}


def get_corpus(name: str) -> Callable[..., None]:
    """The ``prepare`` function of a corpus, its module imported now.

    Raises:
        ValueError: for an unknown corpus.
    """
    check_choice(name, CORPORA, "corpus")
    prepare: Callable[..., None] = _load(CORPORA[name])
    return prepare


def _load(where: str) -> Any:
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(module), function)


def prepare_corpus(
    name: str,
    source: str | Path | None,
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    nj: int | None = None,
    fetch: bool = False,
    url: str | None = None,
) -> None:
    """Write the data directories of a corpus, its options checked by name and type.

    Args:
        name: a key of :data:`CORPORA`.
        source: the corpus folder; ``None`` for a corpus that is generated.
        out: where the sets go: ``<out>/<set>/``.
        options: keyword arguments of the corpus's ``prepare``.
        nj: processes at a time, for a corpus that takes ``nj``; an ``nj`` in ``options``
            counts more.
        fetch: download what is missing first, to ``source``.
        url: a mirror to download from.

    Raises:
        ValueError: for an unknown corpus or option, a wrong type, a missing folder, or a
            download that fails.
    """
    prepare = get_corpus(name)
    signature = inspect.signature(prepare).parameters
    hints = typing.get_type_hints(prepare)
    if fetch and name not in DOWNLOADS:
        raise ValueError(
            f"{name}: cannot be downloaded here; expected one of {', '.join(DOWNLOADS)}. Get it "
            "from its publisher and name its folder in db.local.sh."
        )
    if source is not None and not fetch and not Path(source).is_dir():
        remedy = " Or have it fetched: --download true." if name in DOWNLOADS else ""
        raise ValueError(
            f"{source}: no such folder; expected the corpus '{name}'. Name it in db.local.sh."
            f"{remedy}"
        )
    if source is None and type(None) not in typing.get_args(hints["source"]):
        raise ValueError(
            f"{name}: --source is missing; expected the folder of the corpus: --source DIR."
        )
    options = dict(options or {})
    if nj is not None and "nj" in signature:
        options.setdefault("nj", nj)
    fields = [
        (p.name, hints[p.name], dataclasses.field(default=p.default))
        for p in signature.values()
        if p.name not in ("source", "out")
    ]
    checked: Any = from_dict(dataclasses.make_dataclass("Options", fields), options, name)
    values = {field: getattr(checked, field) for field, *_ in fields}
    if fetch:
        from espnet_entropy.corpora.sources import fetch_corpus

        assert source is not None
        for offer, (folder, parts) in _load(DOWNLOADS[name])(Path(source), **values).items():
            fetch_corpus(offer, folder, parts, url)
    prepare(None if source is None else Path(source), Path(out), **values)
