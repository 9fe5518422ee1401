"""The model card that travels with a model directory."""

from __future__ import annotations

from pathlib import Path

from espnet_entropy import __version__
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.utils.config import read_yaml

CARD = """# Speech units, entropy and groups

Made by {recipe} with espnet_entropy {version}.

- tokenizer: {features}, K = {num_clusters}, 50 units per second (fingerprint {tokenizer})
- entropy LM: {sizes} (fingerprint {lm})
- LM training: {training}
- thresholds: {criteria}; calibrated on {utterances} held-out utterances, {seconds:.0f} s

Use: `espnet-entropy compress my.wav --model DIR --rate 15`, or in Python
`Compressor.from_pretrained(DIR, rate=15)(wav)` with 16 kHz mono float32 samples.

Limits: units of speech that is unlike the training data (language, channel, noise) are less
meaningful and the achieved rate drifts from the target; `espnet-entropy info DIR` shows the
calibrated rates, the recipe's report the drift on other sets. A licence of the training data may
bind this model too: see the corpus's own.
"""


def model_card(tokenizer: Path, entropy_lm: Path, calibration: Path, recipe: str) -> str:
    """The card in Markdown, from what the parts say of themselves.

    Raises:
        ValueError: if a part is missing or damaged.
    """
    units = read_yaml(tokenizer / "tokenizer.yaml")
    lm = read_yaml(entropy_lm / "config.yaml")
    table = CalibrationTable.load(calibration)
    return CARD.format(
        recipe="/".join(Path(recipe).parts[-3:]) or "hand",
        version=__version__,
        features=units["features"],
        num_clusters=units["num_clusters"],
        tokenizer=units["fingerprint"],
        sizes=", ".join(f"{key} {value}" for key, value in lm["model"].items()),
        lm=lm["fingerprint"],
        training=", ".join(f"{key} {value}" for key, value in lm["training"].items()) or "unknown",
        criteria=", ".join(table.criteria),
        utterances=table.utterances,
        seconds=table.seconds,
    )
