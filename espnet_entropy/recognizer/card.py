"""The card that travels with a recognizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from espnet_entropy import __version__

if TYPE_CHECKING:
    from espnet_entropy.recognizer.model_dir import RecognizerManifest

CARD = """# Speech recognition from groups of units

Made from {exp} with espnet_entropy {version} (fingerprint {fingerprint}).

- units: tokenizer {tokenizer}, K = {num_clusters}; entropy LM {entropy_lm}; both in `compressor/`
- groups: criterion {criterion}, {rate}
- text: {vocabulary} tokens ({token_type})
- parameters: {parameters}
- training: {training}
- data: {data}
- decoding: {decoding}

Use: `espnet-entropy transcribe my.wav --model DIR`, or in Python
`SpeechToText.from_pretrained(DIR)(wav).text` with 16 kHz mono float32 samples.

Limits: it recognizes what resembles its training data (language, speakers, channel); words that
its text never had come out as others. Word error rates are in the recipe's report. A licence of
the training data may bind this model too: see the corpus's own.
"""


def recognizer_card(manifest: RecognizerManifest, exp: Path, compressor: Path) -> str:
    """The card in Markdown, from what the manifest says."""
    data = [
        f"{part} set '{said['set']}', {said['utterances']} utterances ({said['fingerprint']})"
        for part, said in manifest.data.items()
    ]
    decoding = manifest.decoding
    return CARD.format(
        exp="/".join(exp.resolve().parts[-4:]),
        version=__version__,
        fingerprint=manifest.fingerprint,
        tokenizer=manifest.tokenizer,
        num_clusters=manifest.num_clusters,
        entropy_lm=manifest.entropy_lm or "not stated",
        criterion=manifest.criterion,
        rate="no target rate" if manifest.rate is None else f"{manifest.rate:g} per second asked",
        vocabulary=manifest.vocabulary,
        token_type=manifest.token_type,
        parameters=", ".join(f"{name} {size:,}" for name, size in manifest.parameters.items()),
        training=", ".join(f"{key} {value}" for key, value in manifest.training.items()),
        data="; ".join(data) or "not at hand when this was packed",
        decoding=f"beam {decoding.beam_size}, at most {decoding.max_length} tokens",
    )
