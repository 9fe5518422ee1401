"""The corpus end to end: the same bytes however it is made, whole data directories."""

import hashlib
import itertools
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.mini_synth import espeak, synthesis
from espnet_entropy.corpora.mini_synth.prepare import SETS, plan, prepare
from espnet_entropy.corpora.mini_synth.verify import verify
from espnet_entropy.corpora.mini_synth.voices import HELD_OUT, KNOWN

pytest.importorskip("espeakng_loader", reason="pip install espeakng-loader")
MINUTES = 0.3  # about 8 sentences


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def in_one_child(task, item) -> None:
    assert list(synthesis.in_children(task, [item], 1)) == [item]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("mini_synth")
    prepare(None, out, minutes=MINUTES, nj=1)
    return out


def test_data_directories_are_whole(corpus):
    ids = set()
    for name in SETS:
        data = DataDir.read(corpus / name)
        assert set(data.texts) == {"", "es", "fr", "zh"}
        assert len(data.wavs) > 0
        ids |= set(data.wavs)
        for utterance in data.utterances():
            info = soundfile.info(utterance.wav)
            assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
            assert utterance.utt.startswith(utterance.speaker)
            for tier in (utterance.words, utterance.phones):
                assert tier[0].start == 0.0
                assert tier[0].label == tier[-1].label == "SIL"
                assert tier[-1].end == pytest.approx(info.frames / 16000, abs=1e-4)
                for a, b in itertools.pairwise(tier):
                    assert a.end == pytest.approx(b.start, abs=1e-6)
                    assert a.end > a.start
                    assert {a.label, b.label} != {"SIL"}
            assert [w.label for w in utterance.words if w.label != "SIL"] == utterance.text.split()
            starts = {round(p.start, 4) for p in utterance.phones}
            assert {round(w.start, 4) for w in utterance.words} <= starts
    assert len(ids) == len(plan(MINUTES, "small", 0))


def test_boundaries_agree_with_the_signal(corpus):
    utterances = [u for name in SETS for u in DataDir.read(corpus / name).utterances()]
    report = verify((soundfile.read(u.wav)[0], u.phones) for u in utterances)
    assert abs(report.offset_ms) <= 5
    assert report.contrast > 1.5
    assert report.silence_db < -20


def test_same_bytes_in_another_order_by_more_processes_after_a_loss(corpus, tmp_path):
    plans = [p for _, p, _ in plan(MINUTES, "small", 0)]
    random.Random(0).shuffle(plans)
    for _ in synthesis.in_children(partial(synthesis.make, tmp_path / "audio"), plans, 3):
        pass
    assert digests(tmp_path / "audio") == digests(corpus / "audio")
    kept, lost = (synthesis.paths(tmp_path / "audio", p)[0] for p in plans[:2])
    before = kept.stat().st_mtime_ns
    lost.unlink()
    prepare(None, tmp_path, minutes=MINUTES, nj=2)
    assert kept.stat().st_mtime_ns == before  # what is finished is not made again
    assert digests(tmp_path / "audio") == digests(corpus / "audio")


@pytest.mark.slow
def test_killed_and_run_again(corpus, tmp_path):
    code = (
        "from pathlib import Path; from espnet_entropy.corpora.mini_synth.prepare import prepare;"
        f"prepare(None, Path({str(tmp_path)!r}), minutes={MINUTES}, nj=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and not list(tmp_path.rglob("*.flac")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    made = {path.name for path in (tmp_path / "audio").rglob("*.flac")}
    assert 0 < len(made) < len(list((corpus / "audio").rglob("*.flac")))
    prepare(None, tmp_path, minutes=MINUTES, nj=1)
    made = {k: v for k, v in digests(tmp_path / "audio").items() if not k.endswith(".tmp")}
    assert made == digests(corpus / "audio")


def test_another_seed_replaces_stale_audio(tmp_path):
    for seed in (0, 1):
        prepare(None, tmp_path / "same", minutes=0.1, seed=seed, nj=1)
    prepare(None, tmp_path / "fresh", minutes=0.1, seed=1, nj=1)
    same, fresh = (digests(tmp_path / name / "audio") for name in ("same", "fresh"))
    assert {k: same[k] for k in fresh} == fresh


def check_speech(item: synthesis.SpeechPlan) -> None:
    speech = synthesis.synthesize(item)
    inside = np.zeros(len(speech.clean), bool)
    for start, end, label in speech.phones:
        if label == "SIL":
            inside[round(start * 16000) + 80 : round(end * 16000) - 80] = True  # 5 ms of ringing
    assert inside.any()
    assert np.abs(speech.clean[inside]).max() < 1e-3  # silences are silent
    noise = speech.noisy - speech.clean
    power = np.mean(speech.clean[np.abs(speech.clean) > 1e-4] ** 2)
    assert 24.5 < 10 * np.log10(power / np.mean(noise**2)) < 35.5
    assert np.abs(speech.noisy).max() < 1.0


@pytest.mark.parametrize("voice", [*KNOWN, *HELD_OUT], ids=lambda voice: voice.name)
def test_silences_are_silent_and_noise_is_faint(voice):
    text = "THE OLD PAINTER LIVED IN THE HOUSE BUT MY SISTER WENT TO TAKE A BLACK CAT LAST NIGHT"
    in_one_child(check_speech, synthesis.SpeechPlan(f"{voice.name}-1", text, voice, 0))


def check_stop(item: synthesis.SpeechPlan) -> None:
    speech = synthesis.synthesize(item)
    for start, _, _ in [p for p in speech.phones if p.label in ("k", "t", "p")]:
        at = round(start * 16000)
        closure = speech.clean[at + 32 : at + 32 + 160]  # from 2 to 12 ms after the boundary
        before = speech.clean[at - 160 : at]
        assert np.sqrt(np.mean(closure**2)) < 0.05 * np.sqrt(np.mean(before**2))


def test_stops_begin_with_their_closure():
    in_one_child(check_stop, synthesis.SpeechPlan("x", "MY TACO COPY", KNOWN[0], 0))


def test_fused_words_come_apart():
    def check(item: synthesis.SpeechPlan) -> None:
        speech = synthesis.synthesize(item)
        words = [w for w in speech.words if w.label != "SIL"]
        assert [w.label for w in words] == item.text.split()
        phones = [p.label for p in speech.phones if words[1].start <= p.start < words[1].end]
        assert phones == ["ɪ", "n"]

    in_one_child(check, synthesis.SpeechPlan("x", "HE IN THE GARDEN IN THE EVENING", KNOWN[0], 0))


def test_a_failing_child_is_an_error():
    def fail(item: int) -> None:
        raise RuntimeError(f"item {item}")

    with pytest.raises(ValueError, match="could not make 3"):
        list(synthesis.in_children(fail, [3], 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": Path("x")}, "leave --source x out"),
        ({"minutes": 0.0}, "minutes: expected at least 0.1, got 0.0"),
        ({"minutes": float("nan")}, "minutes: expected at least 0.1, got nan"),
        ({"nj": 0}, "nj: expected at least 1, got 0"),
        ({"vocabulary": "smal"}, "Did you mean 'small'"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare(**{"source": None, "out": tmp_path, **options})


def test_missing_espeak_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    espeak.load_library.cache_clear()
    with pytest.raises(ValueError, match=r"pip install espeakng-loader$"):
        espeak.load_library()
    espeak.load_library.cache_clear()


def check_unknown_voice(voice: str) -> None:
    with pytest.raises(ValueError, match=f"no voice '{voice}'"):
        espeak.speak("<speak>a</speak>", voice, 170, 50, 50)


def test_unknown_voice():
    in_one_child(check_unknown_voice, "xx-nowhere")
