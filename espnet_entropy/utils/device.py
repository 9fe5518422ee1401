"""The device that a user names, checked before anything is loaded onto it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
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


def to_device(array: np.ndarray, device: torch.device | str) -> torch.Tensor:
    """An array as a tensor there; a copy to a GPU is queued behind its work, not waited for."""
    import torch

    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensor: torch.Tensor) -> Callable[[], np.ndarray]:
    """Queue a tensor's copy to the host now; the result waits for it and gives the array."""
    import torch

    if tensor.device.type != "cuda":
        return tensor.numpy
    copy = tensor.to("cpu", non_blocking=True)  # torch takes pinned memory for it
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(tensor.device))  # not that of the current device

    def wait() -> np.ndarray:
        done.synchronize()
        array: np.ndarray = copy.numpy()
        return array

    return wait
