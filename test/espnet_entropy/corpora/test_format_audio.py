"""Formatting: what is converted, what is skipped, and that a kill changes nothing."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin import format_audio as command
from espnet_entropy.corpora import format_audio as module
from espnet_entropy.corpora.alignment import (
    AlignmentInfo,
    Interval,
    read_alignment_info,
    read_alignments,
)
from espnet_entropy.corpora.audio import load_audio
from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.corpora.validate import validate_data_dir
from espnet_entropy.utils import scp
from espnet_entropy.utils.scp import read_scp
from espnet_entropy.utils.shards import Job

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 48000)
SCRIPT = """
import sys
from espnet_entropy.corpora import format_audio as module
module.SHARD_UTTERANCES = 2
module.format_audio("data", "dump")
module.merge("data", "dump", max_failed=0.5)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe directory with nine utterances: seven of use, in shards of two."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "SHARD_UTTERANCES", 2)
    files = {
        "a-native": (NOISE[:16000], 16000),
        "a-8k": (NOISE[:8000], 8000),
        "a-48k": (NOISE, 48000),
        "a-stereo": (np.stack([NOISE, NOISE], 1)[:16000], 16000),
        "b-/odd%": (NOISE[:22050], 22050),
        "b-0": (NOISE[:3601], 16000),
        "b-1": (NOISE[:20000], 16000),
        "b-cut": (NOISE[:16000], 16000),
        "b-short": (NOISE[:399], 16000),
    }
    (tmp_path / "raw").mkdir()
    utts = []
    for number, (name, (samples, rate)) in enumerate(files.items()):
        wav = Path("raw") / f"{number}.wav"
        soundfile.write(wav, samples, rate)
        if name == "b-cut":
            wav.write_bytes(wav.read_bytes()[:1000])
        utts.append(
            Utterance(name, str(wav), name[0], name, {"fr": "x"}, [Interval(0.1, 0.2, name[0])])
        )
    info = AlignmentInfo(shift_seconds=-0.05)
    write_data_dir("data", utts, {"spk2gender": {"a": "f", "b": "m"}}, info)
    return tmp_path


def run(out: str = "dump") -> None:
    module.format_audio("data", out)
    assert module.merge("data", out, max_failed=0.5) == 7


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every finished file; a kill may leave hidden temporary ones, which nobody reads."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name[0] != "."]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_only_what_needs_it_is_converted(here: Path) -> None:
    run()
    wavs = read_scp("dump/wav.scp")
    assert wavs["a-native"] == "raw/0.wav"
    assert wavs["a-8k"] == "dump/audio/a-8k.flac"
    assert wavs["b-/odd%"] == "dump/audio/b-%2Fodd%25.flac"
    lengths = {utt: int(n) for utt, n in read_scp("dump/utt2num_samples").items()}
    assert lengths["a-48k"] == lengths["b-/odd%"] == 16000
    data = DataDir.read("dump")
    source = DataDir.read("data")
    for utt, wav in wavs.items():
        info = soundfile.info(wav)
        assert (info.samplerate, info.channels, info.frames) == (16000, 1, lengths[utt])
        np.testing.assert_allclose(load_audio(wav), source.load_audio(utt), atol=1 / 32768)
    assert data.texts["fr"].keys() == data.texts[""].keys() == wavs.keys()
    assert read_alignments("dump")["words"]["a-8k"] == [Interval(0.05, 0.15, "a")]
    assert validate_data_dir("dump", audio=True) == []


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("in_order", [False, True])
def test_merged_tables_are_those_of_the_utterances_themselves(
    here: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool, in_order: bool
) -> None:
    if on_disk:
        monkeypatch.setattr(scp, "LARGE", 1)
    for name, what in (("ctm.words", "{0} 1 0.3 0.1 l\n{0} 0.2 0.1 m\n"), ("text", "{0} t \tx\n")):
        lines = [what.format(utt) for utt in read_scp("data/utt2spk")]
        if not in_order:
            random.Random(0).shuffle(lines)
        Path("data", name).write_text("".join(lines) + what.format("other"))
    Path("data/text.none").write_text("other x\n")
    Path("data/ctm.phones").write_text("b-cut 0.1 0.2 f\n")  # which fails
    Path("dump").mkdir()
    for name in ("text.de", "ctm.phones", "segments", "spk2age"):
        Path("dump", name).write_text("of an earlier run\n")
    run()
    source, wavs = DataDir.read("data"), read_scp("dump/wav.scp")
    kept = dataclasses.replace(source, wavs=wavs)
    write_data_dir("expected", kept.utterances(), source.speakers, read_alignment_info("data"))
    made = {path.name: path.read_bytes() for path in Path("dump").iterdir() if path.is_file()}
    del made["failed.txt"], made["utt2num_samples"]
    assert made == snapshot(here / "expected")
    assert {"text", "text.fr", "ctm.words", "spk2gender", "spk2utt"} < made.keys()


def test_what_write_data_dir_refuses_is_refused(here: Path) -> None:
    module.format_audio("data", "dump")
    Path("data/text.fr").write_text("a-8k x\nb-cut y\n")
    with pytest.raises(
        ValueError, match=r"^dump: 6 .* have no 'text.fr' though others have: a-48k"
    ):
        module.merge("data", "dump", max_failed=0.5)
    Path("data/text.fr").unlink()
    text = Path("data/utt2spk").read_text()
    Path("data/utt2spk").write_text(text.replace("b-1 b", "b-1 b c"))
    with pytest.raises(ValueError, match="'b-1': speaker 'b c'; expected one word"):
        module.merge("data", "dump", max_failed=0.5)
    for name in ("wav.scp", "utt2spk"):
        assert not Path("dump", name).exists()
        Path("data", name).write_text("")
    with pytest.raises(ValueError, match="dump: no utterances to write"):
        module.merge("data", "dump")


def test_failures_are_listed_and_too_many_of_them_stop(here: Path) -> None:
    module.format_audio("data", "dump")
    with pytest.raises(ValueError, match=r"2 of 9 utterances failed.*tolerated 5\.0%"):
        module.merge("data", "dump")
    failed = read_scp("dump/failed.txt")
    assert "truncated" in failed["b-cut"]
    assert "399 samples at 16 kHz; expected at least 400" in failed["b-short"]
    assert not Path("dump/wav.scp").exists()


def test_segments_become_files(here: Path) -> None:
    Path("data/segments").write_text("a-x a-native 0.25 0.75\na-y a-48k 0.1 0.6\n")
    Path("data/utt2spk").write_text("a-x a\na-y a\n")
    for name in ("text", "text.fr"):
        Path("data", name).write_text("a-x one\na-y two\n")
    module.format_audio("data", "dump")
    assert module.merge("data", "dump") == 2
    assert read_scp("dump/utt2num_samples") == {"a-x": "8000", "a-y": "8000"}
    expected = load_audio("raw/0.wav")[4000:12000]
    np.testing.assert_allclose(load_audio("dump/audio/a-x.flac"), expected, atol=1 / 32768)
    assert not Path("dump/segments").exists()


def test_jobs_and_interruptions_change_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    whole = snapshot(here / "dump")
    os.rename("dump", "kept")
    monkeypatch.setattr(module._Work, "_format", _interrupted(module._Work._format, after=5))
    with pytest.raises(KeyboardInterrupt):
        module.format_audio("data", "dump")
    with pytest.raises(ValueError, match=r"shard\(s\) 3, 4, 5 of 5 are not finished"):
        module.merge("data", "dump")
    for job in (3, 1, 2):
        module.format_audio("data", "dump", Job(job, 3))
    module.merge("data", "dump", max_failed=0.5)
    assert snapshot(here / "dump") == whole


def _interrupted(original, after: int):  # type: ignore[no-untyped-def]
    calls = iter(range(1000))

    def format_one(self, utt: str):  # type: ignore[no-untyped-def]
        if next(calls) == after:
            raise KeyboardInterrupt
        return original(self, utt)

    return format_one


def test_finished_shards_are_not_redone_but_mended_files_are(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    seen: list[str] = []
    original = module._Work._format
    monkeypatch.setattr(
        module._Work, "_format", lambda self, utt: seen.append(utt) or original(self, utt)
    )
    module.format_audio("data", "dump")
    assert seen == []
    soundfile.write("raw/7.wav", NOISE[:16000], 16000)
    with pytest.raises(ValueError, match=r"shard\(s\) 4 of 5 are not finished"):
        module.merge("data", "dump")
    module.format_audio("data", "dump")
    assert seen == ["b-1", "b-cut"]
    assert module.merge("data", "dump", max_failed=0.2) == 8


@pytest.mark.slow
def test_killed_at_random_and_run_again(here: Path) -> None:
    run()
    whole = snapshot(here / "dump")
    os.rename("dump", "kept")
    rng = np.random.default_rng(1)
    killed = 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=here, env=_environment())
        while process.poll() is None and not Path("dump/shards").is_dir():
            time.sleep(0.001)
        time.sleep(float(rng.uniform(0.0, 0.6)))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=here, env=_environment(), check=True)
    assert snapshot(here / "dump") == whole


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[3]
    return {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}


def test_command(here: Path) -> None:
    options = ["--data", "data", "--out", "dump"]
    command.main(options)
    command.main([*options, "--merge", "--max_failed", "0.5"])
    assert len(read_scp("dump/wav.scp")) == 7
    with pytest.raises(ValueError, match=r"job: expected 1\.\.2, got 3"):
        command.main([*options, "--job", "3", "--nj", "2"])
    with pytest.raises(ValueError, match="the output is the input"):
        command.main(["--data", "data", "--out", "./data"])
