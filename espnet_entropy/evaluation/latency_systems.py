"""What is timed: rows of a sweep with random weights, or trained recognizers, and utterances.

Weights do not change how long a given number of steps takes, so that the paper's sizes can be
timed before anybody has trained them. Thresholds are found on the very utterances that are timed:
a row called 15 Hz makes 15 Hz there.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_entropy.evaluation.latency import Row, Utterance, WaveformParts
from espnet_entropy.launch.sweep_file import Sweep, SweepRow, merge
from espnet_entropy.launch.sweep_rows import row_training
from espnet_entropy.recognizer.build import build_model
from espnet_entropy.segmenter.calibrate import calibrate
from espnet_entropy.segmenter.config import KNOBS, SegmenterConfig, load_plan
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.utils.config import check_choice, from_dict, read_yaml, to_dict
from espnet_entropy.utils.grid import FRAME_LENGTH, FRAME_SHIFT, SAMPLE_RATE

# Table 6 of the paper, ms per utterance, by the names of conf/sweep/table3.yaml
PAPER_MS = {
    "raw_50": 172.0,
    "dedup": 148.0,
    "fixed_25": 103.0,
    "entropy_15": 120.0,
    "entropy_7": 89.0,
}
PAPER_SIZE = "paper"
PAPER_LAYER = 9  # of HuBERT base (NOTES 8)


def choose_utterances(
    scored: ScoredSet, number: int, tokens: Mapping[str, int] | int
) -> list[Utterance]:
    """Utterances at equal distances in the order of their length.

    Their waveforms are noise of the same length: no part before the units looks at what is said.

    Args:
        scored: the set.
        number: how many, at most.
        tokens: length of each text, or one for all.

    Raises:
        ValueError: if an utterance has no text.
    """
    names = sorted(scored.utterances, key=lambda utt: (len(scored.utterances[utt]), utt))
    count = min(number, len(names))
    draw, chosen = np.random.default_rng(0), []
    for name in (names[int((i + 0.5) * len(names) / count)] for i in range(count)):
        matrix = np.ascontiguousarray(scored.utterances[name], dtype=np.float32)
        if not isinstance(tokens, int) and not tokens.get(name):
            raise ValueError(
                f"{scored.name}: '{name}' has no text; add it to --text or give --text_tokens."
            )
        samples = FRAME_LENGTH + FRAME_SHIFT * (len(matrix) - 1)
        wav = 0.1 * draw.standard_normal(samples, dtype=np.float32)
        length = tokens if isinstance(tokens, int) else tokens[name]
        chosen.append(Utterance(name, matrix, wav, length, samples / SAMPLE_RATE))
    return chosen


def text_lengths(texts: Mapping[str, str], bpemodel: str | Path | None) -> dict[str, int]:
    """Text tokens of each utterance: pieces of a BPE model, or characters without one."""
    if bpemodel is None:
        return {utt: len(text) for utt, text in texts.items()}
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(bpemodel))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{bpemodel}: not a BPE model ({error}); give bpe.model.") from error
    return {utt: len(processor.EncodeAsPieces(text)) for utt, text in texts.items()}


@dataclasses.dataclass(frozen=True)
class RandomRows:
    """Rows of a sweep with random weights.

    Args:
        config: the recipe's training configuration.
        sweep: the sweep.
        utterances: on which thresholds are found.
        num_clusters: codebook size K.
        vocabulary: text tokens of the output layer.
        device: where the models go.
        segmenter: ``segmenter.yaml`` for labels that are more than a criterion's name.
    """

    config: Path
    sweep: Sweep
    utterances: Sequence[Utterance]
    num_clusters: int
    vocabulary: int
    device: torch.device
    segmenter: Path | None = None

    def build(self, names: Sequence[str], token_updates: Sequence[str]) -> list[Row]:
        """The rows, CALE once for each way in which units may see each other.

        Args:
            names: of the sweep's rows; those of the paper's table 6 if empty.
            token_updates: ``full``, ``window``, ``none``.

        Raises:
            ValueError: for an unknown row, or one that makes no model.
        """
        known = {row.name: row for row in self.sweep.rows}
        names = names or [name for name in PAPER_MS if name in known] or list(known)
        base = read_yaml(self.config)
        rows: list[Row] = []
        for name in names:
            check_choice(name, known, "row", "--rows")
            for update in self._updates(base, known[name], token_updates):
                row = self._row(base, known[name], update)
                # one decoder for all: it has the same sizes, and caches see no difference
                if rows and _shapes(rows[0].model.decoder) == _shapes(row.model.decoder):
                    row.model.decoder = rows[0].model.decoder
                rows.append(row)
        return rows

    def _updates(
        self, base: Mapping[str, Any], row: SweepRow, asked: Sequence[str]
    ) -> Sequence[str | None]:
        training = row_training(base, row, "")
        conf = training.get("encoder_conf") or {}
        return (
            asked if training.get("encoder") == "cale" and not conf.get("paper_exact") else [None]
        )

    def _row(self, base: Mapping[str, Any], row: SweepRow, update: str | None) -> Row:
        where = f"{self.config}, row '{row.name}'"
        training = row_training(base, row, "")
        label, name = row.shown, row.name
        if update is not None:
            training = merge(training, {"encoder_conf": {"token_update": update}})
            label, name = f"{label}, {update}", f"{name}/{update}"
        segmenter = self._segmenter(training.get("frontend_conf") or {}, where)
        given = {key: value for key, value in to_dict(segmenter).items() if value is not None}
        training["frontend_conf"] = {"segmenter": given, "num_clusters": self.num_clusters}
        tokens = ["<blank>", "<unk>", *map(str, range(self.vocabulary - 3)), "<sos/eos>"]
        model = build_model(training, tokens, where).to(self.device)
        return Row(name, label, model, PAPER_MS.get(row.name))

    def _segmenter(self, conf: Mapping[str, Any], where: str) -> SegmenterConfig:
        """With its threshold, in nats, from the utterances."""
        if conf.get("segmenter") is not None:
            return from_dict(SegmenterConfig, conf["segmenter"], f"{where}: segmenter")
        label, rate = str(conf.get("criterion")), conf.get("rate")
        known = {name: SegmenterConfig(name) for name in KNOBS if name != "fixed"}
        if self.segmenter is not None:
            known |= {config.label: config for config in load_plan(self.segmenter).criteria}
        config = known[check_choice(label, known, "criterion", where)]
        if not config.knobs:
            return config
        if rate is None:
            raise ValueError(f"{where}: criterion '{label}' needs rate, in Hz.")
        seconds = sum(utterance.seconds for utterance in self.utterances)
        matrices = [utterance.scored for utterance in self.utterances]
        return calibrate(matrices, seconds, config, float(rate), self.num_clusters).config


def _shapes(module: Any) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def trained_rows(recognizers: Mapping[str, Path], scored: ScoredSet, device: str) -> list[Row]:
    """Trained recognizers, each with its own threshold.

    Args:
        recognizers: directories by name; the names of table 6's rows get the paper's figure.
        scored: the set that is timed.
        device: where the models go.

    Raises:
        ValueError: for a directory that is none, or is of other units than the set.
    """
    from espnet_entropy.recognizer.speech_to_text import SpeechToText

    rows = []
    for name, path in recognizers.items():
        model = SpeechToText.from_pretrained(path, device).model
        tokenizer = model.frontend.config.tokenizer
        if tokenizer != scored.tokenizer:
            raise ValueError(
                f"{path}: for units of tokenizer {tokenizer}, but {scored.name} has those of "
                f"{scored.tokenizer}; give a dump of the recognizer's own units."
            )
        rows.append(Row(name, name, model, PAPER_MS.get(name)))
    return rows


def waveform_parts(model: str, num_clusters: int, device: str) -> WaveformParts:
    """What comes before the segmenter.

    Args:
        model: a model directory, or ``paper``: HuBERT base up to layer 9 and an LM of the paper's
            size, with random weights.
        num_clusters: K of the set that is timed; a larger codebook will do.
        device: where to compute.

    Raises:
        ValueError: for no such directory, or one with fewer units than the set.
    """
    if model == PAPER_SIZE:
        return paper_parts(device)
    from espnet_entropy.compressor import Compressor

    compressor = Compressor.from_pretrained(model, device=device)
    if compressor.tokenizer.num_clusters < num_clusters:
        raise ValueError(
            f"{model}: knows {compressor.tokenizer.num_clusters} units, but the dump has "
            f"{num_clusters}; give the model directory that scored it."
        )
    return WaveformParts(str(model), compressor.tokenizer, compressor.scorer)


def paper_parts(device: str, num_clusters: int = 500) -> WaveformParts:
    """HuBERT base, k-means and entropy LM of the paper's sizes with random weights."""
    from transformers import HubertConfig, HubertModel

    from espnet_entropy.entropy_lm.model import EntropyLM, EntropyLMConfig
    from espnet_entropy.entropy_lm.scorer import EntropyScorer
    from espnet_entropy.tokenizer.features import build_features
    from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
    from espnet_entropy.tokenizer.tokenizer import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        HubertModel(HubertConfig(num_hidden_layers=PAPER_LAYER)).save_pretrained(folder)
        conf = {"model": folder, "layer": PAPER_LAYER, "do_normalize": False}
        features = build_features("hubert", conf, device)
    centroids = np.random.default_rng(0).standard_normal((num_clusters, features.dim))
    quantizer = KMeansQuantizer(centroids.astype(np.float32), device)
    lm = EntropyLM(EntropyLMConfig(num_clusters)).eval().requires_grad_(False).to(device)
    name = f"random weights: HuBERT base, layer {PAPER_LAYER}, K = {num_clusters}, LM of "
    name += f"{lm.num_parameters() / 1e6:.1f} M"
    return WaveformParts(name, Tokenizer(features, quantizer), EntropyScorer(lm))
