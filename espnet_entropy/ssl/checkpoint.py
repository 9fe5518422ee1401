"""Where a training stands, on disk: killed at any instant, it goes on from the last look.

``weights.<step>.safetensors`` and ``state.pt`` (optimizer and counters, read with ``weights_only``)
belong together: the state is written last and names its weights.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from espnet_entropy.utils.files import atomic_write

STATE, LOG, BEST = "state.pt", "log.jsonl", "best.safetensors"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        key: fingerprint of configuration and data.
        step: updates done.
        epoch: from 0.
        position: batches of the epoch done.
        best: lowest score on the valid set, infinite before the first look.
        best_step: when.
        seconds: of training so far.
        sums: of the updates since the last look, for the log.
    """

    key: str
    step: int = 0
    epoch: int = 0
    position: int = 0
    best: float = float("inf")
    best_step: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)


def save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Write tensors as they are."""
    plain = {name: w.detach().to("cpu").contiguous() for name, w in weights.items()}
    with atomic_write(path, "wb") as stream:
        stream.write(safetensors.torch.save(plain))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what :func:`save_weights` wrote.

    Raises:
        ValueError: if it is missing or damaged.
    """
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"{path}: not readable ({error}); remove {path.parent} to train anew."
        ) from None


def save_checkpoint(
    out: Path, progress: Progress, module: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write weights, then the state that names them; older weights go."""
    weights = _weights(out, progress.step)
    save_weights(weights, module.state_dict())
    with atomic_write(out / STATE, "wb") as stream:
        torch.save({"progress": asdict(progress), "optimizer": optimizer.state_dict()}, stream)
    for old in out.glob("weights.*.safetensors"):
        if old != weights:
            old.unlink()


def load_checkpoint(
    out: Path, key: str, module: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    """Restore what :func:`save_checkpoint` wrote; a fresh start, if there is nothing.

    Raises:
        ValueError: if it is damaged, or of another configuration or data.
    """
    path = out / STATE
    if not path.is_file():
        return Progress(key)
    try:
        state = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        progress = Progress(**state["progress"])
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"{path}: not readable ({reason}); remove {out} to train anew.") from None
    if progress.key != key:
        raise ValueError(
            f"{out}: holds a training of another configuration or other data; remove the directory "
            "to train anew, or choose another one."
        )
    module.load_state_dict(read_weights(_weights(out, progress.step)))
    optimizer.load_state_dict(state["optimizer"])
    return progress


def log_line(out: Path, step: int, content: Mapping[str, Any]) -> None:
    """Append a line to the log; lines from later than ``step``, of a killed run, go."""
    path = out / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["step"] < step]
    with atomic_write(path) as stream:
        stream.writelines(f"{line}\n" for line in [*kept, json.dumps({"step": step, **content})])


def _weights(out: Path, step: int) -> Path:
    return out / f"weights.{step}.safetensors"
