"""The device that a user names, checked before anything is loaded onto it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def check_device(name: str | torch.device) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:<n>`` as torch's device.

    Raises:
        ValueError: for another name, or a GPU that is not here.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ValueError(f"device '{name}': expected cpu, cuda or cuda:<n>.")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(
            f"device '{name}': this machine shows {count} GPU(s); use cpu, or check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES."
        )
    return device
