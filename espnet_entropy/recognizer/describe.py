"""``espnet-entropy info`` of a recognizer directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.recognizer.model_dir import COMPRESSOR, RecognizerDirectory
from espnet_entropy.utils.config import to_dict


def describe(directory: Path, as_json: bool = False) -> str:
    """A recognizer directory in words: sizes, groups, training.

    Nothing but the YAML files is read.

    Raises:
        ValueError: if it is not a recognizer directory.
    """
    found = RecognizerDirectory.open(directory)
    inner = ModelDirectory.open(found.path / COMPRESSOR)
    content: dict[str, Any] = {
        "recognizer": str(directory),
        **to_dict(found.manifest),
        "compressor": to_dict(inner.manifest),
        "bytes": sum(f.stat().st_size for f in found.path.rglob("*") if f.is_file()),
    }
    if as_json:
        return json.dumps(content, indent=1, ensure_ascii=False)
    return _in_words(content)


def _in_words(content: dict[str, Any]) -> str:
    rate = "no target" if content["rate"] is None else f"{content['rate']:g} groups per second"
    sizes = ", ".join(f"{name} {size:,}" for name, size in content["parameters"].items())
    said = ", ".join(f"{k} {v}" for k, v in content["decoding"].items() if v is not None)
    lines = [
        f"recognizer  {content['recognizer']} ({content['bytes'] / 1e6:.1f} MB), "
        f"fingerprint {content['fingerprint']}",
        f"parameters  {sizes}",
        f"units       tokenizer {content['tokenizer']}, K = {content['num_clusters']}, "
        "50 per second",
        f"entropy LM  {content['entropy_lm'] or 'not stated'}",
        f"groups      criterion {content['criterion']}, {rate}",
        f"text        {content['vocabulary']} tokens ({content['token_type']})",
        f"decoding    {said}",
        "",
        "training",
        *(f"  {key}: {value}" for key, value in content["training"].items()),
        "data",
        *(f"  {part}: {said}" for part, said in content["data"].items()),
    ]
    return "\n".join(lines)
