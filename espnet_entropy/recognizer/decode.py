"""A scored set -> ``text``: in shards, resumable, failures named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.model_dir import RecognizerDirectory
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write, fingerprint
from espnet_entropy.utils.grid import SAMPLE_RATE, num_units
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples
from espnet_entropy.utils.shards import Job, Shards, plan_shards

if TYPE_CHECKING:  # torch is imported only where there is something to decode
    from espnet_entropy.recognizer.speech_to_text import SpeechToText


class DecodeShards(Shards):
    """Transcripts in ``<out>/shards/text.<i>.json``: one mapping each, whole or absent."""

    last = "json"

    def write(self, index: int, done: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the transcripts of one shard; one with ``failed`` says why there is none."""
        self._sweep(index)
        with atomic_write(self._path(index, self.last)) as stream:
            json.dump(done, stream, ensure_ascii=False)

    def read(self) -> dict[str, dict[str, Any]]:
        """All transcripts, in the set's order.

        Raises:
            ValueError: naming the shards that are missing or damaged.
        """
        self._check_whole()
        found: dict[str, dict[str, Any]] = {}
        for index, utterances in enumerate(self.shards):
            path = self._path(index, self.last)
            try:
                done = json.loads(path.read_text(encoding="utf-8"))
                found.update({utt: done[utt] for utt in utterances})
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}: damaged; remove it and run the stage again.") from error
        return found


class DecodeStage:
    """The decoding of one set.

    Args:
        model: recognizer directory.
        scored: directory with ``scored.scp``, ``utt2num_samples`` and ``meta.yaml``.
        out: where ``text`` goes.
        decoding: how to decode; the directory's own if ``None``.
        shard_units: units per shard (about); a killed run loses at most one shard.

    Raises:
        ValueError: if the set was scored by another tokenizer or entropy LM.
    """

    def __init__(
        self,
        model: str | Path,
        scored: str | Path,
        out: str | Path,
        decoding: DecodingConfig | None = None,
        shard_units: int = 50_000,
    ) -> None:
        self.directory = RecognizerDirectory.open(model)
        self.scored, self.out = Path(scored), Path(out)
        self.decoding = decoding or self.directory.manifest.decoding
        self._check_meta()
        self.samples = read_num_samples(self.scored)
        self.arrays = Arrays.load(self.scored / "scored.scp")
        missing = [utt for utt in self.arrays if utt not in self.samples]
        if missing or not len(self.arrays):
            raise ValueError(
                f"{self.scored}: {len(self.arrays)} utterances in scored.scp, of which "
                f"{len(missing)} have no number of samples; prepare or score the set again."
            )
        lengths = {utt: num_units(self.samples[utt]) for utt in self.arrays}
        plan = plan_shards(lengths, shard_units)
        key = {"model": self.directory.manifest.fingerprint, "decoding": asdict(self.decoding)}
        self.shards = DecodeShards(self.out, "text", plan, fingerprint(key), lengths)

    def _check_meta(self) -> None:
        meta = read_yaml(self.scored / "meta.yaml")
        manifest = self.directory.manifest
        for part in ("tokenizer", "entropy_lm", "num_clusters"):
            expected, found = getattr(manifest, part), meta.get(part)
            if expected is not None and expected != found:
                raise ValueError(
                    f"{self.scored}/meta.yaml: {part} is {found}, but {self.directory.path} was "
                    f"trained on {expected}; score the set with the model directory inside it "
                    "(compressor/)."
                )

    def run(self, job: Job | None = None, device: str = "cpu") -> None:
        """Decode the unfinished shards of one job; of all, if not given."""
        pending = self.shards.pending(job)
        if not pending:
            return
        from espnet_entropy.recognizer.speech_to_text import SpeechToText

        recognizer = SpeechToText.from_pretrained(
            self.directory.path, device, decoding=self.decoding
        )
        total = sum(len(self.shards.shards[index]) for index in pending)
        with progress((), f"decode {self.out.name}", total) as bar:
            for index in pending:
                done = dict(self._decode(recognizer, self.shards.shards[index], bar))
                self.shards.write(index, done)

    def _decode(
        self, recognizer: SpeechToText, utterances: list[str], bar: Any
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Transcripts of one shard; its batches depend on its utterances alone."""
        from espnet_entropy.recognizer.speech_to_text import plan_batches

        readable: dict[str, np.ndarray] = {}
        for utt in utterances:
            try:
                readable[utt] = recognizer.check(self.arrays[utt], f"{self.scored}: {utt}")
            except ValueError as error:
                bar.update(1)
                yield utt, {"failed": " ".join(str(error).split())}
        names = list(readable)
        for batch in plan_batches([len(matrix) for matrix in readable.values()]):
            chosen = [names[row] for row in batch]
            found = recognizer.decode_batch([readable[utt] for utt in chosen])
            bar.update(len(chosen))
            for utt, transcript in zip(chosen, found, strict=True):
                yield utt, asdict(transcript)

    def merge(self, max_failed: float = 0.05) -> dict[str, Any]:
        """Write ``failed``, ``decode.yaml`` and, last, ``text``.

        Args:
            max_failed: the largest tolerated share of failed utterances (0..1).

        Returns:
            What ``decode.yaml`` holds.

        Raises:
            ValueError: naming the shards that are missing, or if too many utterances failed.
        """
        (self.out / "text").unlink(missing_ok=True)
        found = self.shards.read()
        failures = FailureLog("decode", self.out / "failed", max_failed)
        for utt, said in found.items():
            if "failed" in said:
                failures.add(utt, said["failed"])
        failures.close(len(found))
        done = {utt: said for utt, said in found.items() if "failed" not in said}
        content = self._summary(done, len(failures.failed))
        write_yaml(self.out / "decode.yaml", content)
        with atomic_write(self.out / "text") as stream:
            stream.writelines(f"{utt} {said['text']}".rstrip() + "\n" for utt, said in done.items())
        return content

    def _summary(self, done: Mapping[str, Mapping[str, Any]], failed: int) -> dict[str, Any]:
        seconds = sum(self.samples[utt] for utt in done) / SAMPLE_RATE
        groups = sum(int(said["num_groups"]) for said in done.values())
        return {
            "model": str(self.directory.path),
            "fingerprint": self.directory.manifest.fingerprint,
            "decoding": asdict(self.decoding),
            "utterances": len(done),
            "failed": failed,
            "empty": sum(not said["text"] for said in done.values()),
            "truncated": sum(bool(said["truncated"]) for said in done.values()),
            "seconds": round(seconds, 3),
            "groups": groups,
            "rate": round(groups / seconds, 3),
        }
