"""The model directory: tokenizer, entropy LM and calibration as one thing that can be moved.

::

    compressor/
      model.yaml         what belongs together: the parts' fingerprints
      tokenizer/         features and quantizer
      entropy_lm/        model.safetensors, config.yaml
      calibration.yaml   thresholds for criteria and rates
      README.md          model card
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.models import MANIFEST, resolve
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.model_dir import Kind, open_model_dir

FORMAT = 1
KIND = Kind(
    name="model directory",
    manifest=MANIFEST,
    parts=("tokenizer", "entropy_lm", "calibration.yaml"),
    format=FORMAT,
    made_by="a recipe makes one (egs2/mini_synth/asr1/run.sh makes "
    "egs2/mini_synth/units1/exp/compressor); 'espnet-entropy info --help' lists those that come "
    "with the toolkit",
    usual="exp/compressor",
)


@dataclass(frozen=True)
class ModelManifest:
    """Content of ``model.yaml``.

    Attributes:
        format: version of the layout.
        tokenizer: fingerprint of features and quantizer.
        entropy_lm: fingerprint of the LM.
        num_clusters: codebook size K.
        criterion: the segmenter's default criterion.
        rate: its default rate, groups per second.
    """

    format: int
    tokenizer: str
    entropy_lm: str
    num_clusters: int
    criterion: str
    rate: float


@dataclass(frozen=True)
class ModelDirectory:
    """Paths and manifest of a model directory.

    Use :meth:`open` to read one and :meth:`assemble` to make one.
    """

    path: Path
    manifest: ModelManifest

    @property
    def tokenizer(self) -> Path:
        """Directory of the tokenizer."""
        return self.path / "tokenizer"

    @property
    def entropy_lm(self) -> Path:
        """Directory of the entropy LM."""
        return self.path / "entropy_lm"

    @property
    def calibration(self) -> Path:
        """File of the calibrated thresholds."""
        return self.path / "calibration.yaml"

    @classmethod
    def open(cls, path: str | Path | None = None) -> ModelDirectory:
        """Read ``model.yaml`` and check that every part is there.

        Args:
            path: the directory, or a shipped model (:func:`espnet_entropy.models.resolve`).

        Raises:
            ValueError: naming what is missing, or a layout of another version.
        """
        place = resolve(path)
        return cls(place, open_model_dir(place, KIND, ModelManifest))

    @classmethod
    def assemble(
        cls,
        path: str | Path,
        tokenizer: str | Path,
        entropy_lm: str | Path,
        calibration: str | Path,
        criterion: str,
        rate: float,
        card: str,
    ) -> ModelDirectory:
        """Copy the parts, a speech model included, into ``path`` if they belong together.

        Args:
            path: the new directory; ``model.yaml`` is written last.
            tokenizer: directory of a saved ``Tokenizer``.
            entropy_lm: directory of a saved ``EntropyLM``.
            calibration: file of a saved ``CalibrationTable``.
            criterion: default criterion; must be calibrated.
            rate: default rate in Hz; must be calibrated.
            card: text of the model card (Markdown).

        Raises:
            ValueError: if a part was made for another tokenizer or LM.
        """
        from espnet_entropy.compressor.parts import check_parts, load_parts
        from espnet_entropy.segmenter.calibrate import CalibrationTable

        table = CalibrationTable.load(calibration)
        table.lookup(criterion, rate)
        parts = load_parts(Path(tokenizer), Path(entropy_lm), table)
        check_parts(parts)
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        (path / MANIFEST).unlink(missing_ok=True)  # not whole from here until the last line
        # with_model: a HuBERT that lies elsewhere comes along, so that the directory can be moved
        parts.tokenizer.save(path / "tokenizer", with_model=True)
        hidden = shutil.ignore_patterns(".*")  # temporary files of a run that was killed
        shutil.copytree(entropy_lm, path / "entropy_lm", ignore=hidden, dirs_exist_ok=True)
        shutil.copyfile(calibration, path / "calibration.yaml")
        with atomic_write(path / "README.md") as stream:
            stream.write(card)
        manifest = ModelManifest(
            format=FORMAT,
            tokenizer=parts.tokenizer.fingerprint,
            entropy_lm=parts.lm.fingerprint,
            num_clusters=parts.tokenizer.num_clusters,
            criterion=criterion,
            rate=float(rate),
        )
        write_yaml(path / MANIFEST, manifest)
        return cls(path, manifest)
