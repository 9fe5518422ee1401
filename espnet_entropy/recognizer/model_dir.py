"""The recognizer directory: waveform to text as one thing that can be moved.

::

    recognizer/
      recognizer.yaml    fingerprints, sizes, training record, how to decode
      config.yaml        ESPnet's training configuration; its paths are inside this directory
      model.safetensors  weights
      tokens.txt         vocabulary
      bpe.model          text pieces (token_type: bpe)
      unit_bpe.model     pieces of units, with unit_bpe.yaml (criterion: unit_bpe)
      compressor/        the model directory: waveform to units and entropies
      README.md          card
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.files import fingerprint, sha256_file
from espnet_entropy.utils.model_dir import Kind, open_model_dir

FORMAT = 1
MANIFEST, CONFIG, WEIGHTS = "recognizer.yaml", "config.yaml", "model.safetensors"
TOKENS, BPE, UNIT_BPE, COMPRESSOR = "tokens.txt", "bpe.model", "unit_bpe.model", "compressor"
KIND = Kind(
    name="recognizer directory",
    manifest=MANIFEST,
    parts=(CONFIG, WEIGHTS, TOKENS, COMPRESSOR),
    format=FORMAT,
    made_by="stage 'average' of a recipe makes one (egs2/mini_synth/asr1/run.sh makes "
    "exp/asr_*/recognizer)",
    usual="exp/asr_*/recognizer",
)


@dataclass(frozen=True)
class RecognizerManifest:
    """Content of ``recognizer.yaml``.

    Attributes:
        format: version of the layout.
        fingerprint: of weights, configuration and vocabulary.
        tokenizer: fingerprint of the speech tokenizer that it was trained for.
        entropy_lm: fingerprint of the entropy LM; ``None`` if the training did not say.
        num_clusters: codebook size K.
        criterion: where groups begin.
        rate: target rate of the groups, Hz; ``None`` if the criterion has none.
        token_type: ``bpe``, ``char`` or ``word``.
        vocabulary: number of text tokens.
        parameters: of encoder, decoder, the rest (``ctc``) and in total.
        decoding: how to decode if nothing else is said.
        training: what the training's own record says.
        data: fingerprints of the sets.
    """

    format: int
    fingerprint: str
    tokenizer: str
    entropy_lm: str | None
    num_clusters: int
    criterion: str
    rate: float | None
    token_type: str
    vocabulary: int
    parameters: dict[str, int]
    decoding: DecodingConfig
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecognizerDirectory:
    """Paths and manifest of a recognizer directory; ``pack`` makes one."""

    path: Path
    manifest: RecognizerManifest

    @classmethod
    def open(cls, path: str | Path) -> RecognizerDirectory:
        """Read ``recognizer.yaml`` and check that every part is there.

        Raises:
            ValueError: naming what is missing, or a layout of another version.
        """
        return cls(Path(path), open_model_dir(Path(path), KIND, RecognizerManifest))

    def training_config(self) -> dict[str, Any]:
        """``config.yaml`` with paths that lead into this directory, wherever it is.

        Raises:
            ValueError: for a path that leads out of it.
        """
        where = self.path / CONFIG
        config = read_yaml(where)
        frontend = config.get("frontend_conf")
        if not isinstance(frontend, dict):
            raise ValueError(f"{where}: frontend_conf: expected a mapping, got {frontend!r}.")
        config["frontend_conf"] = frontend = dict(frontend)
        for owner, key in (
            (config, "token_list"),
            (config, "bpemodel"),
            (frontend, "model"),
            (frontend, "unit_bpe"),
            (frontend, "calibration"),
        ):
            if owner.get(key) is not None:
                owner[key] = str(inside(self.path, owner[key], f"{where}: {key}"))
        return config

    def check_files(self) -> None:
        """Compare the files with the manifest's fingerprint.

        Raises:
            ValueError: if they are damaged or of different recognizers.
        """
        found = files_fingerprint(self.path)
        if found != self.manifest.fingerprint:
            raise ValueError(
                f"{self.path}: fingerprint {self.manifest.fingerprint} of {MANIFEST} is not that "
                f"of the files beside it ({found}); they are damaged or of different recognizers. "
                "Copy or pack it again."
            )


def inside(directory: Path, name: Any, where: str) -> Path:
    """``directory / name`` for a name that stays in the directory.

    Raises:
        ValueError: beginning with ``where``, for an absolute path, ``..`` or no string.
    """
    if not isinstance(name, str) or PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(
            f"{where}: expected a path inside {directory}, got {name!r}. Nothing was read there; "
            "pack the recognizer again."
        )
    return directory / name


def files_fingerprint(directory: Path) -> str:
    """16 hexadecimal digits of the files that decide which text comes out."""
    names = (CONFIG, WEIGHTS, TOKENS, BPE, UNIT_BPE)
    return fingerprint(
        {name: sha256_file(directory / name) for name in names if (directory / name).is_file()}
    )
