"""A set of units -> ``scored.scp``: (N, 2) float32, columns unit and entropy in nats.

The scores of one set come from matrix products of one type: what was begun in another is refused,
and ``meta.yaml`` says ``dtype`` where it is not float32. Sets of different types may meet, such as
a dump and a model directory that scores as it goes: of mini_hubert's groups at 15 and 7 Hz, 0.1 to
0.4 % begin elsewhere in bfloat16, whichever type was calibrated on (bin/compare_scorers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from espnet_entropy.entropy_lm.config import DTYPES, read_card
from espnet_entropy.entropy_lm.dump import UnitDump
from espnet_entropy.entropy_lm.units import check_units
from espnet_entropy.utils.config import check_choice, write_yaml
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import (
    convert_table,
    join_tables,
    read_num_samples,
    same_keys,
    write_part,
)
from espnet_entropy.utils.shards import Job, ShardedArk, plan_key, plan_shards

if TYPE_CHECKING:  # torch is imported only where there is something to score
    from espnet_entropy.entropy_lm.scorer import EntropyScorer


class ScoreStage:
    """The scoring of one set, in shards.

    Args:
        model: directory of an exported entropy LM.
        units: ``dump/units/<set>``, with ``units.scp``, ``meta.yaml`` and ``utt2num_samples``.
        out: ``dump/scored/<set>``.
        shard_units: units per shard (about); a killed run loses at most one shard.
        dtype: of the matrix products, one of ``DTYPES``.

    Raises:
        ValueError: if the units come from another tokenizer than the LM's, or the set was
            scored with products of another type.
    """

    def __init__(
        self,
        model: str | Path,
        units: str | Path,
        out: str | Path,
        shard_units: int = 50_000,
        dtype: str = DTYPES[0],
    ) -> None:
        self.dtype = check_choice(dtype, DTYPES, "dtype", "scoring")
        self.model, self.units, self.out = Path(model), Path(units), Path(out)
        self.card = read_card(model)
        self.dump = UnitDump(self.units / "units.scp")
        found = self.dump.meta["tokenizer"]
        if found != self.card.tokenizer:
            raise ValueError(
                f"{self.units}: made by tokenizer {found}, but {model} was trained for "
                f"{self.card.tokenizer}; tokenize with that one or train an LM for these units."
            )
        # of the number of samples: the plan opens no archive
        lengths = convert_table(self._samples(), lambda _, samples: num_units(samples))
        self.ark = ShardedArk(
            self.out, "scored", plan_shards(lengths, shard_units), self._key(dtype), lengths
        )
        self._check_dtype()

    def _key(self, dtype: str) -> str:
        """What decides the scores: of float32 the LM alone."""
        return self.card.fingerprint + ("" if dtype == DTYPES[0] else f" {dtype}")

    def _check_dtype(self) -> None:
        """Refuse a set that was begun in another type; ``ark`` refuses all else by itself."""
        found = self.ark.found_key()
        for other in DTYPES:
            if other != self.dtype and found == plan_key(self._key(other), self.ark.shards):
                raise ValueError(
                    f"{self.out}: holds scores by {other} products, but {self.dtype} is asked "
                    f"for; one set is scored in one type: give '--dtype {other}', or remove the "
                    "directory to score it anew."
                )

    def _samples(self) -> Mapping[str, int]:
        """Samples of each utterance, in the dump's order."""
        samples = read_num_samples(self.units)
        if same_keys(samples, self.dump.entries):
            return samples
        both = join_tables(self.dump.entries, samples)
        missing = [utt for utt, _, number in both if number is None]
        if missing:
            raise ValueError(
                f"{self.units / 'utt2num_samples'}: no number of samples for {len(missing)} "
                f"utterance(s), {', '.join(missing[:3])} first; run the tokenizer stage again."
            )
        return convert_table(self.dump.entries, lambda utt, _: samples[utt])

    def run(self, job: Job | None = None, device: str = "cpu", compile: bool = False) -> None:
        """Score the unfinished shards of one job; of all, if not given.

        Args:
            job: which ones.
            device: where to compute.
            compile: see :class:`EntropyScorer`.
        """
        pending = self.ark.pending(job)
        if not pending:
            return
        from espnet_entropy.entropy_lm.model import EntropyLM
        from espnet_entropy.entropy_lm.scorer import EntropyScorer

        lm = EntropyLM.from_pretrained(self.model, device, self.dtype)
        scorer = EntropyScorer(lm, compile=compile)
        for index in progress(pending, "score", unit="shard"):
            self.ark.write(index, self._score(scorer, self.ark.shards[index]))

    def _score(
        self, scorer: EntropyScorer, utterances: list[str]
    ) -> Iterator[tuple[str, np.ndarray | Exception]]:
        """Scores of one shard; the batches depend on the shard's list alone."""
        units: dict[str, np.ndarray] = {}
        failed: dict[str, Exception] = {}
        for utt in utterances:
            try:
                units[utt] = check_units(self.dump.load(utt), self.card.model.num_clusters)
            except ValueError as error:
                failed[utt] = error
        scores = dict(zip(units, scorer.score_batch(list(units.values())), strict=True))
        for utt in utterances:
            if utt in failed:
                yield utt, failed[utt]
            else:
                yield utt, np.stack([units[utt], scores[utt]], axis=1).astype(np.float32)

    def merge(self, max_failed: float = 0.05) -> int:
        """Write ``scored.scp``, ``utt2num_samples`` and ``meta.yaml``.

        Returns:
            The number of scored utterances.
        """
        entries = self.ark.merge(max_failed)
        write_part(self.out / "utt2num_samples", entries, self._samples())
        meta = {
            "tokenizer": self.card.tokenizer,
            "entropy_lm": self.card.fingerprint,
            "num_clusters": self.card.model.num_clusters,
        }
        other = {} if self.dtype == DTYPES[0] else {"dtype": self.dtype}
        write_yaml(self.out / "meta.yaml", meta | other)
        return len(entries)
