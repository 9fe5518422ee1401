"""The training loop: slices of any length, resumed bit for bit.

All that is random in an update depends on seed and step alone, and all that is random in the order
of batches on seed and epoch: so a checkpoint holds weights, optimizer and counters, nothing else.

Legend: B batch, N units, D width.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from espnet_entropy.ssl.augment import augment
from espnet_entropy.ssl.batches import Batch, DeviceSet, aligned_phones, plan_batches
from espnet_entropy.ssl.checkpoint import (
    BEST,
    load_checkpoint,
    log_line,
    read_weights,
    save_checkpoint,
    save_weights,
)
from espnet_entropy.ssl.config import TrainingConfig
from espnet_entropy.ssl.masking import mask_spans
from espnet_entropy.ssl.objectives import (
    MaskedPrediction,
    ctc_loss,
    masked_loss,
    phone_errors,
    phone_loss,
)
from espnet_entropy.ssl.packed import PackedSet
from espnet_entropy.ssl.targets import Targets
from espnet_entropy.tokenizer.mel_ctc_head import BLANK, CTCHead
from espnet_entropy.tokenizer.mel_encoder import MelEncoder
from espnet_entropy.tokenizer.mel_model_dir import load_encoder, save_encoder
from espnet_entropy.utils.config import to_dict, write_yaml
from espnet_entropy.utils.device import check_device
from espnet_entropy.utils.files import fingerprint

Sums = dict[str, torch.Tensor]
MASKED_SUMS, CTC_SUMS = ("nats", "hits", "hidden"), ("ctc_nats", "phones")
PHONE_SUMS = ("phone_nats", "phone_hits", "aligned")
MODEL = "model"  # below the directory of the training: the best encoder and CTC head in 16 bits


class Trainee(nn.Module):
    """Encoder and what is trained with it.

    Args:
        config: sizes and objectives.
        clusters: K; 0 without targets.
        phones: P; 0 without labels.
        aligned: A, aligned phones; 0 without alignments.
    """

    def __init__(
        self, config: TrainingConfig, clusters: int, phones: int, aligned: int = 0
    ) -> None:
        super().__init__()
        D = config.encoder.width
        self.encoder = MelEncoder(config.encoder, config.dropout)
        self.masked = self.ctc = self.aligned = None
        if config.masked_weight:
            self.masked = MaskedPrediction(D, clusters, config.projection, config.temperature)
        if config.ctc_weight:
            self.ctc = nn.Linear(D, phones + 1)
        if config.phone_weight:
            self.aligned = nn.Linear(D, aligned)
        self.weights = config.masked_weight, config.ctc_weight, config.phone_weight

    def forward(
        self, batch: Batch, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor | None]:
        """Loss, sums for the log, and CTC logits (B, N, C), of a batch with (B, N) hidden units."""
        x = self.encoder(batch.levels, batch.lengths, hidden)[-1]
        loss, logits = x.sum() * 0, None
        sums: Sums = {}
        if self.masked is not None:
            part, found = masked_loss(self.masked(x[hidden]), batch.targets[hidden])
            loss, sums = loss + self.weights[0] * part, sums | found
        if self.ctc is not None:
            logits = self.ctc(x).float()
            part, found = ctc_loss(logits, batch)
            loss, sums = loss + self.weights[1] * part, sums | found
        if self.aligned is not None:
            part, found = phone_loss(self.aligned(x).float(), batch.aligned)
            loss, sums = loss + self.weights[2] * part, sums | found
        return loss, sums, logits


class Trainer:
    """One training.

    Args:
        config: how to train.
        train: what to learn from.
        valid: what is looked at; its best score decides which weights are kept.
        out: directory of the training.
        targets: clusters of both sets; needed with ``masked_weight``.
        device: where to compute.

    Raises:
        ValueError: if targets, labels or the initial model are missing or do not fit, or ``out``
            holds another training.
    """

    def __init__(
        self,
        config: TrainingConfig,
        train: PackedSet,
        valid: PackedSet,
        out: str | Path,
        targets: Targets | None = None,
        device: str = "cpu",
    ) -> None:
        self.config, self.out = config, Path(out)
        targets = targets if config.masked_weight else None  # else they are for nothing
        _check(config, train, valid, targets)
        self.device = check_device(device)
        names = train.aligned_names
        clusters_of = (None, None) if targets is None else (targets.train, targets.valid)
        self.train_set = DeviceSet(train, self.device, clusters_of[0], names)
        self.valid_set = DeviceSet(valid, self.device, clusters_of[1], names)
        clusters = 0 if targets is None else targets.num_clusters
        torch.manual_seed(config.seed)
        self.trainee = Trainee(config, clusters, len(train.label_names), len(names))
        key: dict[str, object] = {"config": to_dict(config), "train": train.key, "valid": valid.key}
        key["phones"] = [names, valid.aligned_names] if config.phone_weight else None
        key["targets"] = None if targets is None else targets.key
        if config.init is not None:
            key["init"] = self._begin_with(config.init)
        self.trainee.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.trainee.parameters(), betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        self.progress = load_checkpoint(self.out, fingerprint(key), self.trainee, self.optimizer)
        self._sums: Sums = {
            name: torch.tensor(total, dtype=torch.float64, device=self.device)
            for name, total in self.progress.sums.items()
        }
        write_yaml(self.out / "config.yaml", config)
        if config.compile and self.device.type == "cuda":
            self.trainee.encoder.compile(dynamic=True)

    def run(self, max_minutes: float | None = None) -> bool:
        """Train to the end, or until the time is over; then write the model.

        Returns:
            Whether the training is finished.
        """
        begin = last = time.monotonic()
        progress, config = self.progress, self.config
        while progress.step < config.steps:
            plan = self._plan(self.train_set, config.seed, progress.epoch)
            for index in plan[progress.position :]:
                self._update(self.train_set.batch(index))
                progress.position += 1
                if progress.step % config.eval_every == 0 or progress.step == config.steps:
                    self._look(time.monotonic() - last)
                    last = time.monotonic()
                if progress.step == config.steps:
                    break
                if max_minutes is not None and time.monotonic() - begin >= 60 * max_minutes:
                    progress.seconds += time.monotonic() - last
                    self._save()
                    logging.info("%s: out of time at step %d", self.out, progress.step)
                    return False
            else:
                progress.epoch, progress.position = progress.epoch + 1, 0
        self._finish()
        return True

    def _plan(self, utterances: DeviceSet, seed: int, epoch: int) -> list[np.ndarray]:
        """Batches of an epoch, of the utterances that one of the objectives can use."""
        packed, config = utterances.packed, self.config
        useful = np.full(len(packed.units), config.masked_weight > 0)
        if config.ctc_weight:
            useful |= packed.label_lengths > 0
        if config.phone_weight:
            useful |= utterances.is_aligned
        used = np.flatnonzero(useful)
        batches = plan_batches(packed.units[used], self.config.max_units, seed, epoch)
        return [used[batch] for batch in batches]

    def _update(self, batch: Batch) -> None:
        config, progress = self.config, self.progress
        torch.manual_seed(config.seed * 1_000_003 + progress.step)
        self.trainee.train()
        batch = replace(batch, levels=augment(batch.levels, 2 * batch.lengths - 1, config.augment))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, progress.step)
        half = self.device.type == "cuda" and config.dtype == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, half):
            loss, sums, _ = self.trainee(batch, self._hidden(batch))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trainee.parameters(), config.clip)
        self.optimizer.step()
        progress.step += 1
        _add(self._sums, sums)

    def _hidden(self, batch: Batch) -> torch.Tensor:
        """(B, N) bool: which units to hide."""
        config = self.config
        units = batch.targets.shape[1]
        return mask_spans(batch.lengths, units, config.mask_start, config.mask_span)

    def _look(self, seconds: float) -> None:
        """Score the valid set, keep the weights if they are the best, save and log."""
        progress = self.progress
        train, valid = _figures(self._sums), self.evaluate()
        self._sums = {}
        progress.seconds += seconds
        line = {
            "epoch": progress.epoch,
            "seconds": progress.seconds,
            "train": train,
            "valid": valid,
        }
        _check_finite(self.out, progress.step, train | valid)
        if valid["score"] < progress.best:
            progress.best, progress.best_step = valid["score"], progress.step
            save_weights(self.out / BEST, self.trainee.state_dict())
        logging.info("step %d: %s", progress.step, line)
        log_line(self.out, progress.step, line)
        self._save()

    def _save(self) -> None:
        self.progress.sums = {name: float(total) for name, total in self._sums.items()}
        _check_finite(self.out, self.progress.step, self.progress.sums)
        save_checkpoint(self.out, self.progress, self.trainee, self.optimizer)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Figures of the valid set; the same spans are hidden every time.

        Returns:
            ``nats`` and ``accuracy`` of hidden units; ``ctc_nats`` per phone and ``per``, the phone
            error rate of the best path, ``phone_nats`` and ``phone_error`` per aligned unit, with
            nothing hidden; ``score``: the mean of the error rates, nats without any.
        """
        self.trainee.eval()
        torch.manual_seed(self.config.seed)
        sums: Sums = {}
        errors = 0
        for index in self._plan(self.valid_set, 0, 0):
            batch = self.valid_set.batch(index)
            hidden = self._hidden(batch)
            if self.trainee.masked is not None:
                _add(sums, self.trainee(batch, hidden)[1], MASKED_SUMS)
            if self.trainee.ctc is None and self.trainee.aligned is None:
                continue
            _, more, logits = self.trainee(batch, torch.zeros_like(hidden))
            _add(sums, more, [name for name in (*CTC_SUMS, *PHONE_SUMS) if name in more])
            if logits is not None:
                errors += phone_errors(logits, batch)
        found = _figures(sums)
        if self.trainee.ctc is not None:
            found["per"] = errors / max(1.0, float(sums["phones"]))
        rates = [found[name] for name in ("per", "phone_error") if name in found]
        found["score"] = sum(rates) / len(rates) if rates else found["nats"]
        return found

    def _begin_with(self, model: str) -> str:
        """Take a trained encoder; its fingerprint."""
        encoder, _ = load_encoder(model)
        if encoder.config != self.config.encoder:
            raise ValueError(
                f"init: {model} has sizes {encoder.config}; expected those of this training, "
                f"{self.config.encoder}."
            )
        self.trainee.encoder.load_state_dict(encoder.state_dict())
        arrays = {name: w.numpy() for name, w in encoder.state_dict().items()}
        return fingerprint({}, arrays)

    def _finish(self) -> None:
        progress = self.progress
        self.trainee.load_state_dict(read_weights(self.out / BEST))
        about = {
            "steps": progress.step,
            "epochs": progress.epoch,
            "seconds": round(progress.seconds, 1),
            "best_step": progress.best_step,
            "best_score": progress.best,
            "parameters": sum(p.numel() for p in self.trainee.encoder.parameters()),
        }
        save_encoder(self.trainee.encoder, self.out / MODEL, training=about)
        if self.trainee.ctc is not None:
            labels = [BLANK, *self.train_set.packed.label_names]
            weight, bias = self.trainee.ctc.weight, self.trainee.ctc.bias
            head = CTCHead(labels, weight.detach().cpu().numpy(), bias.detach().cpu().numpy())
            head.save(self.out / MODEL)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Of the update after ``step`` updates: a linear rise, then a cosine down to 0."""
    rise = max(1, round(config.warmup * config.steps))
    if step < rise:
        return config.peak_rate * (step + 1) / rise
    share = (step - rise) / max(1, config.steps - rise)
    return config.peak_rate * 0.5 * (1 + math.cos(math.pi * share))


def _check(
    config: TrainingConfig, train: PackedSet, valid: PackedSet, targets: Targets | None
) -> None:
    if config.masked_weight and targets is None:
        raise ValueError(
            "masked_weight: masked prediction needs targets (--targets; of a recipe's train_ctc "
            "--ctc_targets); make them, or set it to 0."
        )
    if targets is not None:
        targets.check(train, valid)
    if config.ctc_weight:
        for name, packed in (("train", train), ("valid", valid)):
            if not packed.label_lengths.any():
                raise ValueError(f"ctc_weight: the {name} set has no text.phones; set it to 0.")
        if train.label_names != valid.label_names:
            raise ValueError(
                "ctc_weight: train and valid have other phones; pack valid with train."
            )
    if config.phone_weight:
        for name, packed in (("train", train), ("valid", valid)):
            if (aligned_phones(packed, train.aligned_names) < 0).all():
                raise ValueError(
                    f"phone_weight: the {name} set has no aligned phones (ctm.phones) of the train "
                    "set; set it to 0."
                )


def _add(sums: Sums, more: Sums, names: Iterable[str] | None = None) -> None:
    """Add to running sums, where they are: no waiting for a GPU."""
    for name in more if names is None else names:
        value = more[name].detach().double()
        sums[name] = sums[name] + value if name in sums else value


def _figures(sums: Sums) -> dict[str, float]:
    """Means of what was summed up."""
    found: dict[str, float] = {}
    for name, total, count in (
        ("nats", "nats", "hidden"),
        ("accuracy", "hits", "hidden"),
        ("ctc_nats", "ctc_nats", "phones"),
        ("phone_nats", "phone_nats", "aligned"),
        ("phone_error", "phone_hits", "aligned"),
    ):
        if total in sums:
            found[name] = float(sums[total]) / max(1.0, float(sums[count]))
    if "phone_error" in found:
        found["phone_error"] = 1 - found["phone_error"]
    return found


def _check_finite(out: Path, step: int, figures: dict[str, float]) -> None:
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    if wrong:
        raise ValueError(f"{out}: step {step}: {wrong[0]} is not finite; lower peak_rate.")
