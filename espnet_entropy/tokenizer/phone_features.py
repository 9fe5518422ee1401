"""``features: phones``: a tokenizer for studies, whose units are made of the reference alignment.

It takes the place of features and quantizer in a recipe, so that everything after them is as usual.
A waveform alone has no units of this kind, and asking for them is an error.

Legend: N frames (= units), K codebook size, U utterances.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from espnet_entropy.corpora.alignment import Interval, read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.phone_frames import frame_phones, phone_names
from espnet_entropy.evaluation.unit_counts import count_units, joint_counts
from espnet_entropy.tokenizer.config import TokenizerConfig
from espnet_entropy.tokenizer.fit import is_finished
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.phone_units import Damage, PhoneUnits
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.config import from_dict, to_dict
from espnet_entropy.utils.files import fingerprint
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.scp import read_num_samples

NAME = "phones"
LOOKED_AT = 400  # utterances from which the strength is found
TOLERANCE = 0.003  # of PNMI


@dataclass(frozen=True)
class PhoneOptions:
    """``features_conf`` of ``features: phones``.

    Attributes:
        pnmi: of the training set's frames, silence included; the strength of the damage follows.
        parts: units of a phone, one after another.
        damage: what there is of each kind at full strength; 0 leaves a kind out.
        seed: of all draws.
        names: phone classes; the fit writes them.
        strength: of the damage, 0..1; the fit writes it.
    """

    pnmi: float = 1.0
    parts: int = 2
    damage: Damage = field(default_factory=Damage)
    seed: int = 0
    names: tuple[str, ...] | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.pnmi <= 1:
            raise ValueError(f"pnmi: expected more than 0 and at most 1, got {self.pnmi}.")
        self.units((), 0.0)  # parts are checked there

    def units(self, names: tuple[str, ...], strength: float) -> PhoneUnits:
        """What these options make of phones."""
        return PhoneUnits(names, self.damage, strength, self.parts, self.seed)


class PhoneFeatures:
    """One-hot frames of aligned phones; see :class:`tokenizer.features.Features`.

    Args:
        options: with what the fit writes.

    Raises:
        ValueError: if they were never fitted.
    """

    batch_noise = 0.0
    latency = math.inf

    def __init__(self, options: PhoneOptions) -> None:
        if options.names is None or options.strength is None:
            raise ValueError(
                "features_conf: features 'phones' lack names and strength, which stage "
                "fit_tokenizer finds in the training set's alignment; run it."
            )
        self.name, self.options, self.conf = NAME, options, to_dict(options)
        self.units = options.units(options.names, options.strength)
        self.dim = self.units.num_clusters
        self.fingerprint = fingerprint(self.conf | {"features": NAME, "version": 1})

    def aligned(
        self,
        corpus: DataDir,
        utts: list[str],
        phones: Mapping[str, list[Interval]],
        samples: Mapping[str, int],
    ) -> Iterator[tuple[str, np.ndarray | Exception]]:
        """Units of utterances, or why one has none.

        Args:
            corpus: whose ``utt2spk`` says who speaks.
            utts: ids.
            phones: aligned phones of each.
            samples: length of each.

        Yields:
            Utterance and (N,) int32 units, or a ``ValueError``.
        """
        for utt in utts:
            count = num_units(samples[utt])
            if utt not in phones:
                yield utt, ValueError(f"{corpus.path}/ctm.phones has no phones of it; align it.")
            elif count == 0:
                yield utt, ValueError("the audio is shorter than one frame; remove the utterance.")
            else:
                yield utt, self.units(utt, corpus.utt2spk[utt], phones[utt], count)

    def extract(self, wav: np.ndarray) -> NoReturn:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "features 'phones' are made of a corpus's alignment (ctm.phones), for studies: a "
            "waveform has none. Use a tokenizer with features of the waveform."
        )

    def extract_batch(self, wavs: list[np.ndarray]) -> NoReturn:
        """As :meth:`extract`."""
        self.extract(wavs[0])

    def streaming(self) -> NoReturn:
        """As :meth:`extract`."""
        self.extract(np.zeros(0))

    def full_context(self) -> PhoneFeatures:
        """Itself."""
        return self

    def stream(self) -> NoReturn:
        """As :meth:`extract`."""
        self.extract(np.zeros(0))

    def save_model(self, directory: Path) -> dict[str, Any]:
        """Nothing to copy."""
        return {}


def read_phones(data: str | Path, samples: Mapping[str, int]) -> dict[str, list[Interval]]:
    """Aligned phones of a data directory.

    Raises:
        ValueError: if it has no ``ctm.phones``.
    """
    found = read_alignments(data, samples).get("phones")
    if not found:
        raise ValueError(
            f"{data}: features 'phones' need ctm.phones; give a corpus with aligned phones, or "
            f"make them: python -m espnet_entropy.bin.align --data {data}"
        )
    return found


def fit_phones(config: TokenizerConfig, data: str | Path, out: str | Path) -> Tokenizer:
    """Find the phones and the strength that gives the PNMI asked for, and write the tokenizer.

    Args:
        config: with ``features: phones``; its quantizer options do nothing: K is the number of
            phones times ``parts``.
        data: formatted data directory of the training set, with ``ctm.phones``.
        out: directory of the tokenizer.

    Raises:
        ValueError: without an alignment, for a PNMI that this damage does not reach, or if ``out``
            holds another tokenizer.
    """
    options = from_dict(PhoneOptions, config.features_conf, "features_conf")
    samples = read_num_samples(data)
    phones = read_phones(data, samples)
    corpus = DataDir.read(data)
    said = {utt: (samples[utt], corpus.utt2spk[utt], spans) for utt, spans in phones.items()}
    key = fingerprint({"features": NAME, "options": to_dict(options), "said": said})
    if is_finished(out, key):
        logging.info("%s: the tokenizer is finished", out)
        return Tokenizer.from_pretrained(out)
    names = tuple(phone_names(phones.values()))
    strength, pnmi = _find_strength(options, names, corpus, phones, samples)
    logging.info("%s: strength %.4f gives PNMI %.4f", out, strength, pnmi)
    features = PhoneFeatures(replace(options, names=names, strength=strength))
    info = {"fit_key": key, "pnmi": round(pnmi, 4), "note": "one-hot: nothing is quantized"}
    codebook = np.eye(features.dim, dtype=np.float32)
    tokenizer = Tokenizer(features, KMeansQuantizer(codebook, info=info))
    tokenizer.save(out)
    return tokenizer


def _find_strength(
    options: PhoneOptions,
    names: tuple[str, ...],
    corpus: DataDir,
    phones: Mapping[str, list[Interval]],
    samples: Mapping[str, int],
) -> tuple[float, float]:
    """Bisection; more strength damages the same places more, so that PNMI falls."""
    utts = sorted(phones)
    utts = utts[:: max(1, len(utts) // LOOKED_AT)]
    counts = [num_units(samples[utt]) for utt in utts]
    truth = [frame_phones(phones[u], n, names) for u, n in zip(utts, counts, strict=True)]

    def pnmi(strength: float) -> float:
        made = options.units(names, strength)
        units = [
            made(u, corpus.utt2spk[u], phones[u], n) for u, n in zip(utts, counts, strict=True)
        ]
        joint = joint_counts(units, truth, made.num_clusters, len(names))
        return float(count_units(units, truth, [1.0] * len(utts), joint).pooled().pnmi)

    low, high = 0.0, 1.0
    most = pnmi(low)
    if options.pnmi >= most - TOLERANCE:
        return low, most
    least = pnmi(high)
    if options.pnmi < least:
        raise ValueError(
            f"features_conf: pnmi {options.pnmi} is below {least:.3f}, what this damage comes to "
            "at full strength; ask for more, or raise jitter, confusion or speaker."
        )
    while True:
        middle = (low + high) / 2
        found = pnmi(middle)
        if abs(found - options.pnmi) < TOLERANCE:
            return middle, found
        if high - low < 1e-6:
            raise ValueError(
                f"features_conf: pnmi {options.pnmi} is jumped over: {found:.3f} at strength "
                f"{middle:.6f}; with so little speech ask for that."
            )
        low, high = (middle, high) if found > options.pnmi else (low, middle)
