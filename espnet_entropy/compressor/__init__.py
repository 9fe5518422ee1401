"""A model directory in use: waveform to groups, whole or as a stream.

Example (with a model directory that a recipe made)::

    from espnet_entropy.compressor import Compressor
    compress = Compressor.from_pretrained("exp/compressor", rate=15)
    speech = compress(wav)  # (T,) float32 at 16 kHz
    speech.units, speech.entropy, speech.group_lengths
"""

from espnet_entropy.compressor.compressor import CompressedSpeech, Compressor, CompressorStream
from espnet_entropy.compressor.model_dir import ModelDirectory

__all__ = ["CompressedSpeech", "Compressor", "CompressorStream", "ModelDirectory"]
