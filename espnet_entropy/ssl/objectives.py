"""What the encoder is trained to say: the clusters of hidden units, the phones of utterances
and of aligned units.

Legend: B batch, N units, D width, K clusters, P phones, C = P + 1 CTC classes (0 is blank),
A aligned phones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from espnet_entropy.ssl.batches import Batch
from espnet_entropy.utils.edit_distance import edit_distance


class MaskedPrediction(nn.Module):
    """Clusters of hidden units: cosine to an embedding of each cluster (HuBERT paper, eq. 3).

    Args:
        width: D.
        clusters: K.
        projection: width of the comparison.
        temperature: what divides the cosine.
    """

    def __init__(self, width: int, clusters: int, projection: int, temperature: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, projection)
        self.clusters = nn.Parameter(torch.randn(clusters, projection))
        self.temperature = temperature

    def forward(self, units: torch.Tensor) -> torch.Tensor:
        """(n, D) units to (n, K) logits, float32."""
        units = F.normalize(self.project(units).float(), dim=-1)
        return units @ F.normalize(self.clusters.float(), dim=-1).t() / self.temperature


def masked_loss(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Cross-entropy in nats per hidden unit, and sums for the log.

    Args:
        logits: (n, K) of hidden units.
        targets: (n,) their clusters.
    """
    total = F.cross_entropy(logits, targets, reduction="sum")
    count = targets.new_tensor(len(targets))
    hits = (logits.argmax(dim=-1) == targets).sum()
    return total / max(1, len(targets)), {"nats": total, "hits": hits, "hidden": count}


def ctc_loss(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """CTC's loss in nats per phone over the utterances that have phones, and sums for the log.

    Args:
        logits: (B, N, C) float32.
        batch: lengths and labels.
    """
    has = batch.label_lengths > 0
    if not bool(has.any()):
        zero = logits.sum() * 0
        return zero, {"ctc_nats": zero, "phones": zero}
    total = F.ctc_loss(
        logits[has].log_softmax(dim=-1).transpose(0, 1),
        batch.labels,
        batch.lengths[has],
        batch.label_lengths[has],
        reduction="sum",
        zero_infinity=True,  # a text longer than its audio teaches nothing
    )
    phones = batch.label_lengths.sum()
    return total / phones, {"ctc_nats": total, "phones": phones}


def phone_loss(
    logits: torch.Tensor, phones: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Cross-entropy in nats per unit whose phone is known, and sums for the log.

    Args:
        logits: (B, N, A) float32, of A aligned phones.
        phones: (B, N) int64; -1 where it is not known.
    """
    known = phones >= 0
    total = F.cross_entropy(logits[known], phones[known], reduction="sum")
    hits = (logits[known].argmax(dim=-1) == phones[known]).sum()
    count = known.sum()
    return total / count.clamp(min=1), {"phone_nats": total, "phone_hits": hits, "aligned": count}


def greedy_phones(logits: torch.Tensor, lengths: torch.Tensor) -> list[list[int]]:
    """CTC's best path: repetitions merged, blanks left out; phones from 1."""
    best = logits.argmax(dim=-1).cpu().numpy()
    found = []
    for row, length in zip(best, lengths.tolist(), strict=True):
        row = row[:length]
        changed = np.concatenate([[True], row[1:] != row[:-1]])
        found.append([int(phone) for phone in row[changed] if phone > 0])
    return found


def phone_errors(logits: torch.Tensor, batch: Batch) -> int:
    """Errors of the best path in the utterances that have phones."""
    references = torch.split(batch.labels.cpu(), batch.label_lengths.tolist())
    found = greedy_phones(logits, batch.lengths)
    return sum(
        edit_distance(reference.tolist(), phones)
        for reference, phones in zip(references, found, strict=True)
        if len(reference)
    )
