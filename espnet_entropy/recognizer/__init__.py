"""Speech recognition from groups of units: train with ``bin/asr_train``, pack, decode, transcribe.

Example (with a recognizer directory that a recipe made)::

    from espnet_entropy.recognizer import SpeechToText
    recognize = SpeechToText.from_pretrained("exp/asr_cale/recognizer")
    recognize(wav).text  # (T,) float32 at 16 kHz
"""

from typing import TYPE_CHECKING, Any

from espnet_entropy.recognizer.model_dir import RecognizerDirectory

if TYPE_CHECKING:
    from espnet_entropy.recognizer.speech_to_text import SpeechToText, Transcript

__all__ = ["RecognizerDirectory", "SpeechToText", "Transcript"]


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is asked for: describing a directory does not."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from espnet_entropy.recognizer import speech_to_text

    return getattr(speech_to_text, name)
