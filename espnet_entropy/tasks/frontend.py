"""``frontend: units``: scored units, or a waveform, to (unit, group id).

Legend: B batch, N units, M pieces of unit BPE, T samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch.nn.utils.rnn import pad_sequence

from espnet_entropy.segmenter.config import ENTROPY_CRITERIA
from espnet_entropy.segmenter.groups import group_ids
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.tasks.frontend_conf import FrontendConfig, resolve_frontend
from espnet_entropy.utils.config import from_dict

if TYPE_CHECKING:
    from espnet_entropy.compressor import Compressor


class UnitFrontend(AbsFrontend):  # type: ignore[misc]  # espnet2 has no types
    """Units of a scored dump or of a waveform, and the group that each belongs to.

    It has no weights. The model directory is loaded when the first waveform comes, and is no
    submodule: it never gets into a checkpoint.

    Args:
        conf: ``frontend_conf``; see :class:`FrontendConfig`.

    Raises:
        ValueError: as :func:`resolve_frontend`.
    """

    def __init__(self, **conf: Any) -> None:
        super().__init__()
        self.config = from_dict(FrontendConfig, resolve_frontend(conf), "frontend_conf")
        self._compressor: tuple[torch.device, Compressor] | None = None
        self._bpe = self._load_bpe()

    def _load_bpe(self) -> UnitBPE | None:
        if self.config.unit_bpe is None:
            return None
        bpe = UnitBPE.from_pretrained(self.config.unit_bpe)
        expected = self.config.unit_bpe_fingerprint
        if bpe.card.fingerprint != expected:
            raise ValueError(
                f"{self.config.unit_bpe}: fingerprint {bpe.card.fingerprint}, but this model was "
                f"trained with {expected}; give that unit BPE."
            )
        return bpe

    def output_size(self) -> int:
        """Rows of the embedding that the encoder needs: K, or the pieces of the unit BPE."""
        size = self.config.num_clusters if self._bpe is None else self._bpe.size
        assert size is not None
        return size

    def forward(
        self, input: torch.Tensor, input_lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Units and their groups.

        Args:
            input: (B, N, 2) float, unit and entropy in nats; or (B, T) float, 16 kHz. Padding may
                hold anything.
            input_lengths: (B,) int, N or T of each row.

        Returns:
            (B, N, 2) int64, unit and group id from 0 (padding: 0), and the lengths (B,) int64.
            With unit BPE (B, M, 2): piece and 0 .. M-1.

        Raises:
            ValueError: for another shape, an empty or too short utterance, or a unit outside
                0 .. K-1.
        """
        if input.dim() == 2:
            input, input_lengths = self._score(input, input_lengths)
        if input.dim() != 3 or input.size(2) != 2:
            raise ValueError(
                f"frontend units: expected scored units (B, N, 2) or waveforms (B, T), got shape "
                f"{tuple(input.shape)}; give scored.scp,speech,scored or wav.scp,speech,sound."
            )
        if input.size(1) == 0 or int(input_lengths.min()) < 1:
            raise ValueError("frontend units: an utterance without units; leave it out.")
        lengths = input_lengths.to(device=input.device, dtype=torch.int64)
        index = torch.arange(input.size(1), device=input.device)
        valid = index < lengths[:, None]  # (B, N)
        # float to int by rounding: units are exact in float32, but may come through a cast
        units = torch.where(valid, input[..., 0].float().round().long(), 0)
        self._check_range(units)
        if self._bpe is not None:
            return self._pieces(self._bpe, units, lengths)
        assert self.config.segmenter is not None
        entropy = torch.where(valid, input[..., 1].float(), 0.0)
        starts = segment(units, entropy, self.config.segmenter, lengths)
        groups = torch.where(valid, group_ids(starts), 0)
        return torch.stack([units, groups], dim=-1), lengths

    def _check_range(self, units: torch.Tensor) -> None:
        if units.device.type != "cpu":  # it would wait for the GPU; the data type has looked
            return
        low, high = int(units.min()), int(units.max())
        assert self.config.num_clusters is not None
        if low < 0 or high >= self.config.num_clusters:
            raise ValueError(
                f"frontend units: unit {low if low < 0 else high} is outside 0 .. "
                f"{self.config.num_clusters - 1}; this dump was made by another tokenizer."
            )

    def _pieces(
        self, bpe: UnitBPE, units: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each piece of the unit BPE is a group of its own."""
        rows = units.cpu().numpy()
        found = [bpe.encode(row[:n])[0] for row, n in zip(rows, lengths.tolist(), strict=True)]
        ids = pad_sequence([torch.from_numpy(ids) for ids in found], batch_first=True)
        counts = torch.tensor([len(ids) for ids in found])
        index = torch.arange(ids.size(1))
        groups = torch.where(index < counts[:, None], index, 0)
        return torch.stack([ids, groups], dim=-1).to(units.device), counts.to(units.device)

    def _score(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms (B, T) to what a scored dump holds (B, N, 2), each as if alone."""
        compressor = self._load_compressor(waveforms.device)
        segmenter = self.config.segmenter
        wants_entropy = segmenter is not None and segmenter.criterion in ENTROPY_CRITERIA
        rows = []
        for wav, length in zip(waveforms, lengths.tolist(), strict=True):
            units = compressor.tokenizer(wav[:length].detach().float().cpu().numpy())
            if wants_entropy:
                entropy = compressor.scorer.score(units)
            else:  # the costly part: left out where nothing depends on it
                entropy = np.zeros(len(units), dtype=np.float32)
            rows.append(torch.from_numpy(np.stack([units, entropy], 1).astype(np.float32)))
        padded = pad_sequence(rows, batch_first=True).to(waveforms.device)
        return padded, torch.tensor([len(row) for row in rows], device=waveforms.device)

    def _load_compressor(self, device: torch.device) -> Compressor:
        """The model directory, on the device of the waveforms."""
        if self._compressor is not None and self._compressor[0] == device:
            return self._compressor[1]
        if self.config.model is None:
            raise ValueError(
                "frontend_conf: a waveform needs a model directory that makes units of it; add "
                "model: <model directory>, or give a scored dump (scored.scp,speech,scored)."
            )
        from espnet_entropy.compressor import Compressor

        compressor = Compressor.from_pretrained(self.config.model, device=str(device))
        for part, found in (
            ("tokenizer", compressor.tokenizer.fingerprint),
            ("entropy_lm", compressor.lm.fingerprint),
        ):
            expected = getattr(self.config, part)
            if expected is not None and found != expected:
                raise ValueError(
                    f"{Path(self.config.model)}: {part} {found}, but this model was trained on "
                    f"units of {expected}; give the model directory that made them."
                )
        self._compressor = device, compressor
        return compressor
