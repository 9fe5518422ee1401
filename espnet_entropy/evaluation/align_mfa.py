"""Word and phone alignment by the Montreal Forced Aligner, where it is installed.

MFA lives in conda; the pipeline never depends on it. Its corpus directory is prepared here, its
command is run, and its TextGrids are read.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from espnet_entropy.corpora.alignment import Interval, read_textgrids
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress

Tiers = dict[str, dict[str, list[Interval]]]
_TAIL = 15  # lines of MFA's output that an error message quotes


def find_mfa(command: str = "mfa") -> str | None:
    """Path of the ``mfa`` executable, or ``None`` where there is none."""
    return shutil.which(command)


def prepare_corpus(
    data: DataDir, transcripts: Mapping[str, str], directory: Path, failures: FailureLog
) -> int:
    """Write ``<directory>/<speaker>/<utt>.wav`` and ``.lab``, as MFA wants them.

    Args:
        data: the data directory.
        transcripts: utterance to words.
        directory: where the corpus is made.
        failures: takes the utterances without words, or whose audio cannot be read.

    Returns:
        Number of utterances written.
    """
    import soundfile

    written = 0
    for utt in progress(data.wavs, "prepare MFA corpus"):
        try:
            words = transcripts.get(utt, "").strip()
            if not words:
                raise ValueError("no transcript; MFA needs one.")
            if "/" in utt or "/" in data.utt2spk[utt]:
                raise ValueError("a '/' in an utterance or speaker id cannot be a file name.")
            wav = data.load_audio(utt)
        except ValueError as error:
            failures.add(utt, error)
            continue
        stem = directory / data.utt2spk[utt] / utt
        stem.parent.mkdir(parents=True, exist_ok=True)
        # not with_suffix: ids may hold dots
        soundfile.write(f"{stem}.wav", wav, SAMPLE_RATE, subtype="PCM_16")
        Path(f"{stem}.lab").write_text(words + "\n", encoding="utf-8")
        written += 1
    return written


def run_mfa(
    command: str, corpus: Path, output: Path, dictionary: str, acoustic_model: str, nj: int
) -> None:
    """Run ``mfa align`` and wait for it.

    Args:
        command: the executable.
        corpus: directory of :func:`prepare_corpus`.
        output: directory for the TextGrids.
        dictionary: name or path of the pronunciation dictionary.
        acoustic_model: name or path of the acoustic model.
        nj: processes.

    Raises:
        ValueError: with the end of its output, if it failed.
    """
    line = [command, "align", str(corpus), dictionary, acoustic_model, str(output)]
    line += ["--clean", "--num_jobs", str(nj), "--output_format", "long_textgrid"]
    line += ["--temporary_directory", str(output.parent / "mfa")]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-_TAIL:])
        raise ValueError(
            f"'{' '.join(line)}' failed with exit status {done.returncode}; the end of its output:"
            f"\n{tail}\nModels are fetched with 'mfa model download acoustic {acoustic_model}' and "
            f"'mfa model download dictionary {dictionary}'."
        )


def align_with_mfa(
    data: DataDir,
    transcripts: Mapping[str, str],
    failures: FailureLog,
    command: str = "mfa",
    dictionary: str = "english_us_arpa",
    acoustic_model: str = "english_us_arpa",
    nj: int = 1,
) -> Tiers:
    """Align every utterance of a data directory.

    Returns:
        ``{"words": {utt: intervals}, "phones": {utt: intervals}}``, seconds; utterances that MFA
        left out are in ``failures``.

    Raises:
        ValueError: if there is nothing to align, or MFA failed.
    """
    with tempfile.TemporaryDirectory(prefix="espnet_entropy_mfa_") as directory:
        corpus, output = Path(directory, "corpus"), Path(directory, "aligned")
        if prepare_corpus(data, transcripts, corpus, failures) == 0:
            raise ValueError(f"{data.path}: no utterance has both audio and words to align.")
        run_mfa(command, corpus, output, dictionary, acoustic_model, nj)
        tiers = read_textgrids(output)
    for utt in data.wavs:
        if utt not in failures.failed and not tiers["phones"].get(utt):
            failures.add(utt, "MFA wrote no alignment (words unknown to it, or no path found).")
    return {tier: {u: i for u, i in found.items() if i} for tier, found in tiers.items()}
