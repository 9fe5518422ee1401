"""An encoder with random weights and a head fitted to four sounds: the alignment is known."""

import numpy as np
import pytest
import torch
from wrong_inputs import write_data, write_wav, write_yaml

from espnet_entropy.bin.align import main
from espnet_entropy.corpora.alignment import read_ctm
from espnet_entropy.evaluation.align_ctc_mel import MelCTCAligner
from espnet_entropy.tokenizer.mel_ctc_head import BLANK, HEAD, CTCHead
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import save_encoder
from espnet_entropy.utils.grid import num_units

LABELS = [BLANK, "AH", "M", "S"]  # blank: silence
HERTZ = {"AH": (700, 1200, 2500), "M": (150, 300), "S": (5000, 6000, 7000)}
EDGE = 0.0425  # seconds: what these encoders see on either side of the centre of a unit


def sound(parts, seed=0):
    """(T,) float32 of (phone, seconds), ``BLANK`` being silence; and when each phone begins."""
    rng = np.random.default_rng(seed)
    pieces, begins, now = [], [], 0.0
    for name, seconds in parts:
        times = np.arange(round(seconds * 16000)) / 16000
        waves = [np.sin(2 * np.pi * f * times) for f in HERTZ.get(name, ())]
        pieces.append(0.1 * sum(waves, np.zeros(len(times))))
        begins += [] if name == BLANK else [now]
        now += seconds
    wav = np.concatenate(pieces)
    return (wav + rng.normal(0, 1e-3, len(wav))).astype(np.float32), begins


def truth(parts, count):
    """(N,) class at the centre of each unit."""
    ends = np.cumsum([seconds for _, seconds in parts])
    centres = (np.arange(count) * 320 + 200) / 16000
    classes = np.array([LABELS.index(name) for name, _ in parts])
    return classes[np.searchsorted(ends, centres).clip(max=len(parts) - 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_encoder(MelEncoder(MelEncoderConfig(width=32, layers=0, heads=1)), path)
    features = MelEncoderFeatures(MelEncoderOptions(str(path)))
    rng = np.random.default_rng(0)
    frames, classes = [], []
    for seed in range(6):
        parts = [(str(name), 0.2) for name in rng.permutation(LABELS * 3)]
        wav, _ = sound(parts, seed)
        frames.append(features.extract(wav))
        classes.append(truth(parts, num_units(len(wav))))
    x = np.pad(np.concatenate(frames), ((0, 0), (0, 1)), constant_values=1)
    wanted = 20 * np.eye(len(LABELS), dtype=np.float32)[np.concatenate(classes)]
    fitted = np.linalg.solve(x.T @ x + np.eye(x.shape[1], dtype=np.float32), x.T @ wanted)
    CTCHead(LABELS, fitted[:-1].T, fitted[-1]).save(path)
    return path


PARTS = [
    (BLANK, 0.2), ("M", 0.1), ("AH", 0.2), ("S", 0.15), (BLANK, 0.06), ("S", 0.12),
    (BLANK, 0.4), ("AH", 0.15), ("M", 0.2), (BLANK, 0.3),
]  # fmt: skip


def test_phones_lie_where_they_sound(model):
    """The two S are told apart by the silence between, and 0.4 s of it belong to no phone."""
    wav, begins = sound(PARTS, 9)
    found = MelCTCAligner(str(model))(wav, "M AH1 S | S SIL | AH0 M")["phones"]
    assert [i.label for i in found] == ["M", "AH", "S", "S", "AH", "M"]
    assert [i.start for i in found] == pytest.approx(begins, abs=EDGE)
    errors = np.array([i.start for i in found]) - begins
    assert abs(errors.mean()) < 0.01  # half a unit: the grid is the right one
    ends = [*begins[1:3], begins[3], 0.83, begins[5], 1.58]
    assert [i.end for i in found] == pytest.approx(ends, abs=EDGE)


def test_the_classes_are_those_of_every_unit(model):
    aligner = MelCTCAligner(str(model))
    wav, _ = sound(PARTS, 9)
    emission = aligner.emission(wav)
    assert (emission.shape, emission.dtype) == ((num_units(len(wav)), 4), np.float32)
    np.testing.assert_allclose(np.exp(emission).sum(axis=1), 1, rtol=1e-5)
    assert np.mean(emission.argmax(axis=1) == truth(PARTS, len(emission))) > 0.85
    assert aligner.tokens("M AH2 | <eps> S sil AH") == [2, 1, 3, 1]


def test_a_data_directory_is_aligned(model, tmp_path):
    data = write_data(
        tmp_path / "data", **{"text.phones": "a M AH1 S | S | AH0 M\nb S ZH\nc " + "M " * 40 + "\n"}
    )
    wav, begins = sound(PARTS, 5)
    write_wav(tmp_path / "a.wav", wav)
    command = ["--data", str(data), "--method", "ctc", "--ctc_model", str(model)]
    with pytest.raises(ValueError, match="not 'char'; expected '--tokens phone'"):
        main([*command, "--text", "text.phones"])
    main([*command, "--tokens", "phone", "--text", "text.phones", "--max_failed", "0.7"])
    assert sorted(file.name for file in data.glob("ctm.*")) == ["ctm.phones"]
    phones = read_ctm(data / "ctm.phones")
    assert list(phones) == ["a"]
    assert [i.label for i in phones["a"]] == ["M", "AH", "S", "S", "AH", "M"]
    assert [i.start for i in phones["a"]] == pytest.approx(begins, abs=EDGE)
    assert f"CTC alignment, {model}" in (data / "alignment.yaml").read_text()
    failed = dict(line.split(" ", 1) for line in (data / "align.failed").read_text().splitlines())
    assert failed["b"].startswith("the transcript has 'ZH', which the phones of")
    assert failed["c"].startswith("too short: 24 frames of 20 ms for 40 tokens, 39 of them")


def test_wrong_inputs_are_named(model, tmp_path):
    aligner = MelCTCAligner(str(model))
    second = sound([("M", 1.0)])[0]
    for wav, text, message in (
        (second, "", "no phones in the transcript"),
        (second, "SIL | sil", "no phones in the transcript"),
        (second, f"M {BLANK}", "'<blank>', which the phones of"),
        (second, "hello", "'hello', which the phones of"),
        (second[:399], "M", "399 samples are shorter than one frame"),
        (second * np.nan, "M", "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            aligner(wav, text)
    with pytest.raises(ValueError, match="expected cpu, cuda"):
        MelCTCAligner(str(model), device="tpu")


def test_incomplete_models_are_named(tmp_path):
    """Each looks like ours, so that transformers is not asked about it."""
    data = write_data(tmp_path / "data", **{"text.phones": "a M\nb M\nc M\n"})
    save_encoder(MelEncoder(MelEncoderConfig(width=8, layers=0, heads=1)), tmp_path / "headless")
    write_yaml(tmp_path / "training/config.yaml", ctc_weight=1.0)
    for name, message in (
        ("headless", f"{HEAD}: no such file; expected the CTC head"),
        ("training", "expected 'model: mel_encoder', got None"),
    ):
        command = ["--data", str(data), "--method", "ctc", "--ctc_model", str(tmp_path / name)]
        with pytest.raises(ValueError, match=message):
            main([*command, "--tokens", "phone", "--text", "text.phones"])
