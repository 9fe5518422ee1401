"""A model directory in use: waveform to groups, whole or as a stream.

Example (with a model directory that a recipe made)::

    from espnet_entropy.compressor import Compressor
    compress = Compressor.from_pretrained("exp/compressor", rate=15)
    speech = compress(wav)  # (T,) float32 at 16 kHz
    speech.units, speech.entropy, speech.group_lengths
"""

from typing import TYPE_CHECKING, Any

from espnet_entropy.compressor.model_dir import ModelDirectory

if TYPE_CHECKING:
    from espnet_entropy.compressor.compressor import CompressedSpeech, Compressor, CompressorStream

__all__ = ["CompressedSpeech", "Compressor", "CompressorStream", "ModelDirectory"]


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is asked for: describing a model directory does not."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from espnet_entropy.compressor import compressor

    return getattr(compressor, name)
