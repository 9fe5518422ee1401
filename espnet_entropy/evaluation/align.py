"""Stage ``align``: a reference for a data directory that has none."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from espnet_entropy.corpora.alignment import (
    AlignmentInfo,
    Interval,
    find_textgrids,
    read_alignment_info,
    read_textgrid,
    write_alignment_info,
    write_ctm,
)
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.align_mfa import align_with_mfa, find_mfa
from espnet_entropy.utils.failures import FailureLog

if TYPE_CHECKING:
    from espnet_entropy.evaluation.align_ctc import Aligner

Tiers = Mapping[str, Mapping[str, Sequence[Interval]]]  # by tier and utterance
_UNFINISHED = ".align.unfinished"  # stands in the directory while its files are being replaced


@dataclass(frozen=True)
class AlignConfig:
    """How to align.

    Attributes:
        method: ``auto`` takes MFA where it is installed and CTC where it is not; ``textgrid`` takes
            over an alignment that exists.
        text: transcript file of the data directory: ``text``, or ``text.phones`` for phones.
        textgrids: directory with ``<utt>.TextGrid`` files at any depth (MFA's output), for
            ``textgrid``.
        mfa: the ``mfa`` executable, a name on the PATH or a path.
        dictionary: MFA's pronunciation dictionary, name or path.
        acoustic_model: MFA's acoustic model, name or path.
        ctc_model: transformers CTC model, local directory or hub name; or directory of a mel
            encoder that was trained with CTC.
        tokens: what the CTC model writes.
        device: torch device of the CTC model.
        nj: processes of MFA.
        max_failed: tolerated share of utterances that cannot be aligned.
    """

    method: Literal["auto", "mfa", "ctc", "textgrid"] = "auto"
    text: str = "text"
    textgrids: Path | None = None
    mfa: str = "mfa"
    dictionary: str = "english_us_arpa"
    acoustic_model: str = "english_us_arpa"
    ctc_model: str | None = None
    tokens: Literal["char", "phone"] = "char"
    device: str = "cpu"
    nj: int = 1
    max_failed: float = 0.05

    def __post_init__(self) -> None:
        if (self.method == "textgrid") != (self.textgrids is not None):
            raise ValueError("'--method textgrid' and '--textgrids DIR' go together; give both.")


def align(data_dir: str | Path, config: AlignConfig, overwrite: bool = False) -> bool:
    """Write ``ctm.words``, ``ctm.phones`` or ``ctm.chars``, and ``alignment.yaml``.

    A directory that has an alignment, its corpus's own or an earlier one, is left alone.

    Args:
        data_dir: a data directory, also where the results go; failures to ``align.failed``.
        config: how.
        overwrite: replace an existing alignment.

    Returns:
        Whether anything was done.

    Raises:
        ValueError: if no aligner is at hand, it fails, or too many utterances cannot be aligned.
    """
    path = Path(data_dir)
    existing = sorted(path.glob("ctm.*"))
    if existing and not overwrite and not (path / _UNFINISHED).exists():
        source = read_alignment_info(path).source or "the corpus"
        names = ", ".join(file.name for file in existing)
        logging.info("%s: has %s from %s; nothing to align", path, names, source)
        return False
    data = DataDir.read(path)
    failures = FailureLog("align", path / "align.failed", config.max_failed)
    if config.textgrids is not None:
        tiers, info = _take_over(data, config.textgrids, failures)
    else:
        suffix = config.text.removeprefix("text").removeprefix(".")
        if suffix not in data.texts:
            raise ValueError(f"{path}: lacks '{config.text}'; alignment needs a transcript.")
        tiers, info = _run(data, data.texts[suffix], failures, config)
    failures.close(total=len(data.wavs))
    _replace(path, existing, tiers, info)
    return True


def _take_over(data: DataDir, textgrids: Path, failures: FailureLog) -> tuple[Tiers, AlignmentInfo]:
    """Read each utterance's TextGrid; all need the same tiers, or a reference would have holes."""
    paths = find_textgrids(textgrids)
    grids: dict[str, dict[str, list[Interval]]] = {}
    for utt in data.wavs:
        try:
            if utt not in paths:
                raise ValueError(f"{textgrids}: no {utt}.TextGrid there or below.")
            grids[utt] = read_textgrid(paths[utt])
            for label in (i.label for tier in grids[utt].values() for i in tier):
                if len(label.split()) != 1:
                    raise ValueError(f"{paths[utt]}: label {label!r}; expected no white space.")
        except ValueError as error:
            grids.pop(utt, None)
            failures.add(utt, error)
    names = sorted({name for grid in grids.values() for name in grid})
    for utt, grid in list(grids.items()):
        lacking = [name for name in names if not grid.get(name)]
        if lacking:
            del grids[utt]
            failures.add(utt, f"{paths[utt]}: tier '{lacking[0]}' is absent or has no label.")
    tiers = {name: {utt: grid[name] for utt, grid in grids.items()} for name in names}
    return tiers, AlignmentInfo(source=f"TextGrids of {textgrids}")


def _run(
    data: DataDir, transcripts: Mapping[str, str], failures: FailureLog, config: AlignConfig
) -> tuple[Tiers, AlignmentInfo]:
    executable = find_mfa(config.mfa)
    if config.method == "mfa" or (config.method == "auto" and executable):
        if executable is None:
            raise ValueError(
                f"'{config.mfa}' is not on the PATH; install the Montreal Forced Aligner with "
                "conda (conda-forge), name it with --mfa, or use --method ctc."
            )
        tiers = align_with_mfa(
            data,
            transcripts,
            failures,
            executable,
            config.dictionary,
            config.acoustic_model,
            config.nj,
        )
        source = f"Montreal Forced Aligner, {config.acoustic_model}, {config.dictionary}"
        return tiers, AlignmentInfo(source=source, note="forced alignment on a 10 ms grid")
    if config.ctc_model is None:
        raise ValueError(
            "no aligner: 'mfa' is not on the PATH and no CTC model was named; install MFA, or give "
            "--ctc_model (for English, facebook/wav2vec2-base-960h)."
        )
    from espnet_entropy.evaluation.align_ctc import align_with_ctc

    aligner = _ctc_aligner(config.ctc_model, config.tokens, config.device)
    tiers = align_with_ctc(data, transcripts, failures, aligner)
    note = "CTC peaks on a 20 ms grid: trust it at ±50 ms, not at ±20 ms"
    return tiers, AlignmentInfo(source=f"CTC alignment, {config.ctc_model}", note=note)


def _ctc_aligner(model: str, kind: str, device: str) -> Aligner:
    """Of our own encoder or of transformers' model: the directory shows which it is."""
    from espnet_entropy.evaluation.align_ctc import CTCAligner
    from espnet_entropy.evaluation.align_ctc_mel import MelCTCAligner, is_ours

    return (MelCTCAligner if is_ours(model) else CTCAligner)(model, kind, device)


def _replace(
    path: Path,
    existing: Sequence[Path],
    tiers: Tiers,
    info: AlignmentInfo,
) -> None:
    """Put the new files in place; a run killed half way is recognized and done again."""
    (path / _UNFINISHED).touch()
    for file in existing:
        file.unlink()
    for tier, found in tiers.items():
        write_ctm(path / f"ctm.{tier}", found)
    write_alignment_info(path, info)
    (path / _UNFINISHED).unlink()
