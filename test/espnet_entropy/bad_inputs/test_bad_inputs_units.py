"""From a corpus to groups: what users get wrong, and what they read (``units.yaml``)."""

import sys
from pathlib import Path

import numpy as np
import pytest
import wrong_inputs as make
import yaml
from bad_inputs import ROOT, check_message, read_table
from wrong_inputs import bash, call

from espnet_entropy.bin import (
    align,
    calibrate,
    convert_quantizer,
    evaluate_boundaries,
    export_entropy_lm,
    fit_quantizer,
    format_audio,
    pack_model,
    pack_units,
    prepare_corpus,
    score_entropy,
    tokenize,
)
from espnet_entropy.bin import main as command
from espnet_entropy.corpora.alignment import read_ctm, read_textgrids
from espnet_entropy.corpora.audio import load_audio
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.segmenter.config import SegmenterConfig, load_plan
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.tokenizer.tokenizer import Tokenizer

MESSAGES = read_table(Path(__file__).parent / "units.yaml")


# --- what a user does: w.tmp is the row's directory, w.good and w.other are models


def run_pl(w, *words, **env):
    bash(sys.executable, ROOT / "utils/run.pl", *words, cwd=w.tmp, **env)


def recipe(w, *options, **env):
    """The driver in a recipe directory that has a configuration only."""
    make.write_yaml(w.tmp / "conf/tokenizer.yaml", features="mfcc")
    bash(ROOT / "egs2/TEMPLATE/units1/units.sh", *options, cwd=w.tmp, **env)


def read_data(w, **files):
    return DataDir.read(make.write_data(w.tmp / "data", **files))


def formatted(w, **files):
    data = make.write_data(w.tmp / "data", **files)
    for more in ((), ("--merge",)):
        call(format_audio, "--data", data, "--out", w.tmp / "raw", *more)
    return w.tmp / "raw"


def fit(w, out="tokenizer", **config):
    path = make.write_yaml(w.tmp / "tokenizer.yaml", **config)
    data = w.tmp / "raw" if (w.tmp / "raw").is_dir() else formatted(w)
    call(fit_quantizer, "--config", path, "--data", data, "--out", w.tmp / out)


def unreadable_configuration(w):
    path = make.write_text(w.tmp / "tokenizer.yaml", "features: mfcc\nquantizer_conf: {a: 1\n")
    call(fit_quantizer, "--config", path, "--data", w.tmp, "--out", w.tmp / "tokenizer")


def fit_twice(w):
    for num_clusters in (2, 3):
        fit(w, quantizer_conf={"num_clusters": num_clusters})


def hubert(w, model):
    fit(w, features="hubert", features_conf={"model": str(model), "layer": 1})


def tokenized(w, model):
    data = w.tmp / "raw" if (w.tmp / "raw").is_dir() else formatted(w)
    call(tokenize, "--model", model, "--data", data, "--out", w.tmp / "units")


def tokenized_twice(w):
    tokenized(w, w.good / "tokenizer")
    tokenized(w, w.other / "tokenizer")


def converted(w, source, features=None):
    more = () if features is None else ("--config", make.write_yaml(w.tmp / "t.yaml", **features))
    call(convert_quantizer, source, "--out", w.tmp / "converted", *more)


def spoiled_tokenizer(w, spoil):
    path = make.copy(w.good / "tokenizer", w.tmp / "tokenizer")
    spoil(path)
    Tokenizer.from_pretrained(path)


def spoiled_lm(w, size=None, **config):
    path = make.copy(w.good / "lm", w.tmp / "lm")
    if size is not None:
        make.cut(path / "model.safetensors", size)
    card = yaml.safe_load((path / "config.yaml").read_text())
    make.edit_yaml(path / "config.yaml", model=card["model"] | config)
    EntropyLM.from_pretrained(path)


def score(w, model=None, units=None):
    places = ("--units", units or w.good / "units", "--out", w.tmp / "scored")
    for more in ((), ("--merge",)):
        call(score_entropy, "--model", model or w.good / "lm", *places, *more)


def scored_in_two_types(w):
    places = ("--units", w.good / "units", "--out", w.tmp / "scored")
    for dtype in ("float32", "bfloat16"):
        call(score_entropy, "--model", w.good / "lm", *places, "--dtype", dtype)


def scored_99(w):
    """Unit 99 in a dump that claims to come from the LM's tokenizer."""
    meta = yaml.safe_load((w.good / "units/meta.yaml").read_text())
    score(w, units=make.write_dump(w.tmp / "u", "units", {"u": np.int32([0, 99])}, **meta))


def calibrated(w, scored=None, report=(), **plan):
    content = yaml.safe_load((w.good / "segmenter.yaml").read_text()) | plan
    config = make.write_yaml(w.tmp / "segmenter.yaml", **content)
    places = ("--scored", scored or w.good / "scored", "--out", w.tmp / "calibration.yaml")
    call(calibrate, "--config", config, *places, "--report", *report)


def packed(w, **parts):
    paths = {"tokenizer": "tokenizer", "entropy_lm": "lm", "calibration": "calibration.yaml"}
    paths = {name: w.good / path for name, path in paths.items()} | parts
    given = [word for name, path in paths.items() for word in (f"--{name}", path)]
    call(pack_model, *given, "--config", w.good / "segmenter.yaml", "--out", w.tmp / "model")


def packed_with_calibration(w, **content):
    path = make.copy(w.good / "calibration.yaml", w.tmp / "calibration.yaml")
    packed(w, calibration=make.edit_yaml(path, **content))


def compress(w, *words, model=None, wav=None):
    wav = wav or make.write_wav(w.tmp / "a.wav")
    call(command, "compress", wav, *words, "--model", model or w.good / "model")


def stream(w, content):
    compress(w, "--stream", wav=make.write_bytes(w.tmp / "a.wav", content))


def boundaries(w):
    places = ("--calibration", w.good / "calibration.yaml", "--out", w.tmp / "boundaries")
    data = make.write_data(w.tmp / "data")
    call(evaluate_boundaries, "--scored", w.good / "scored", "--data", data, *places)


def aligned(w):
    data = make.write_data(w.tmp / "data", text="a x\nb x\nc x\n")
    call(align, "--data", data, "--mfa", "/none/mfa")


def load_wav(w, samples, subtype="PCM_16", **options):
    return load_audio(make.write_wav(w.tmp / "a.wav", samples, subtype), **options)


def corpus(*words):
    call(prepare_corpus, "--corpus", *words)


ACTIONS = {
    "audio: empty": lambda w: load_audio(make.write_bytes(w.tmp / "a.wav", b"")),
    "audio: truncated": lambda w: load_audio(make.cut(make.write_wav(w.tmp / "a.wav"), 4000)),
    "audio: text": lambda w: load_audio(make.write_text(w.tmp / "a.wav", "hello\n")),
    "audio: missing": lambda w: load_audio(w.tmp / "a.wav"),
    "audio: a directory": lambda w: load_audio(w.tmp),
    "audio: NaN": lambda w: load_wav(w, np.float32([0, np.nan]), "FLOAT"),
    "audio: integers": lambda w: load_wav(w, np.full(800, 3e4, np.float32), "FLOAT"),
    "audio: too long": lambda w: load_wav(w, make.noise(), max_seconds=0.1),
    "audio: too short": lambda w: formatted(
        w, wav_scp=f"a {make.write_wav(w.tmp / 'x.wav', make.noise(0.01))}\n"
    ),
    "audio: array of integers": lambda w: Tokenizer.from_pretrained(w.good / "tokenizer")(
        np.zeros(400, int)
    ),
    "data: missing": lambda w: DataDir.read(w.tmp / "data"),
    "data: no wav.scp": lambda w: read_data(w, wav_scp=None),
    "data: pipe": lambda w: read_data(w, wav_scp="a sox a.mp3 -t wav - |\n"),
    "data: utterance twice": lambda w: read_data(w, wav_scp="a x.wav\na y.wav\n"),
    "data: no speaker": lambda w: read_data(w, utt2spk="a s\n"),
    "data: not UTF-8": lambda w: read_data(w, text=b"a caf\xe9\n"),
    "data: segment outside": lambda w: formatted(w, segments="u a 1.2 1.7\n", utt2spk="u s\n"),
    "corpus: unknown": lambda w: corpus("mini-synth"),
    "corpus: no source": lambda w: corpus("speechocean762"),
    "corpus: source missing": lambda w: corpus("mboshi_french", "--source", w.tmp / "x"),
    "corpus: source not needed": lambda w: corpus("mini_synth", "--source", w.tmp),
    "corpus: option": lambda w: corpus("mini_synth", "--option", "minute=3"),
    "corpus: option without value": lambda w: corpus("mini_synth", "--option", "minutes"),
    "ctm: broken line": lambda w: read_ctm(make.write_text(w.tmp / "ctm", "u 0 1 a\nu 1 b\n")),
    "TextGrid: other tiers": lambda w: read_textgrids(
        make.write_textgrid(w.tmp / "u.TextGrid", "notes", "tones").parent
    ),
    "TextGrid: no tiers": lambda w: read_textgrids(
        make.write_textgrid(w.tmp / "u.TextGrid").parent
    ),
    "TextGrid: none": lambda w: read_textgrids(w.tmp),
    "align: no aligner": aligned,
    "boundaries: no reference": boundaries,
    "tokenizer: key": lambda w: fit(w, features="mfcc", quantiser_conf={}),
    "tokenizer: features": lambda w: fit(w, features="hubertt"),
    "tokenizer: option of features": lambda w: fit(w, features_conf={"normalise": "none"}),
    "tokenizer: type": lambda w: fit(w, quantizer_conf={"num_clusters": "many"}),
    "tokenizer: not YAML": unreadable_configuration,
    "tokenizer: too few frames": lambda w: fit(w, quantizer_conf={"num_clusters": 100}),
    "tokenizer: not fitted": lambda w: tokenized(w, w.tmp),
    "tokenizer: fitted with another configuration": fit_twice,
    "tokenizer: other features": lambda w: spoiled_tokenizer(
        w, lambda path: make.edit_yaml(path / "tokenizer.yaml", features_conf={"normalize": "none"})
    ),
    "tokenizer: units of another in the way": tokenized_twice,
    "tokenizer: device": lambda w: Tokenizer.from_pretrained(w.good / "tokenizer", "gpu"),
    "tokenizer: no such GPU": lambda w: Tokenizer.from_pretrained(w.good / "tokenizer", "cuda:99"),
    "hubert: no directory": lambda w: hubert(w, w.tmp / "hubert"),
    "hubert: not at hand": lambda w: hubert(w, "facebook/hubert-of-nobody"),
    "hubert: no weights": lambda w: hubert(w, make.write_hubert(w.tmp / "hubert")),
    "hubert: weights would run code": lambda w: hubert(
        w, make.write_hubert(w.tmp / "hubert", bomb=w.tmp / "ran")
    ),
    "kmeans: would run code": lambda w: converted(
        w, make.write_bomb(w.tmp / "km.bin", w.tmp / "ran")
    ),
    "kmeans: no pickle": lambda w: converted(w, make.write_text(w.tmp / "km.bin", "hello\n")),
    "kmeans: other width": lambda w: converted(
        w, make.write_kmeans(w.tmp / "km.bin", np.ones((4, 768))), {"features": "mfcc"}
    ),
    "kmeans: other size": lambda w: fit(
        w,
        quantizer_conf={
            "pretrained": str(make.write_kmeans(w.tmp / "km.bin", np.ones((4, 39)))),
            "num_clusters": 200,
        },
    ),
    "quantizer: NaN": lambda w: spoiled_tokenizer(
        w, lambda path: make.write_quantizer(path, np.full((make.K, 39), np.nan, np.float32))
    ),
    "quantizer: damaged": lambda w: spoiled_tokenizer(
        w, lambda path: make.cut(path / "quantizer.safetensors", 100)
    ),
    "quantizer: of another tokenizer": lambda w: spoiled_tokenizer(
        w, lambda path: make.write_quantizer(path, np.zeros((make.K, 39), np.float32))
    ),
    "lm: units outside": lambda w: EntropyScorer(EntropyLM.from_pretrained(w.good / "lm")).score(
        np.array([1, 2, make.K])
    ),
    "lm: units outside, in a dump": scored_99,
    "lm: units of another tokenizer": lambda w: score(w, units=w.other / "units"),
    "lm: not exported": lambda w: score(w, model=w.tmp),
    "lm: nothing tokenized": lambda w: score(w, units=w.tmp),
    "lm: scored in two types": scored_in_two_types,
    "lm: damaged": lambda w: spoiled_lm(w, size=1000),
    "lm: key": lambda w: spoiled_lm(w, hidden_size=16),
    "lm: heads": lambda w: spoiled_lm(w, heads=3),
    "lm: other size": lambda w: spoiled_lm(w, width=32),
    "lm: configuration of another": lambda w: spoiled_lm(w, rope_theta=5.0),
    "lm: odd context": lambda w: call(
        pack_units, "--units", w.good / "units/units.scp", "--out", w.tmp, "--context", 33
    ),
    "lm: context of another configuration": lambda w: call(
        pack_units,
        *("--units", w.good / "units", "--out", w.tmp, "--context", 32, "--config"),
        make.write_yaml(w.tmp / "train.yaml", lm_conf={"context": 64}),
    ),
    "lm: packed for another": lambda w: call(
        export_entropy_lm,
        *("--out", w.tmp / "lm", "--exp"),
        make.write_checkpoint(w.tmp / "exp", bomb=w.tmp / "ran", dedup=True),
    ),
    "lm: checkpoint would run code": lambda w: call(
        export_entropy_lm,
        "--out",
        w.tmp / "lm",
        "--exp",
        make.write_checkpoint(w.tmp / "exp", bomb=w.tmp / "ran"),
    ),
    "segmenter: criterion": lambda w: SegmenterConfig("globe"),
    "segmenter: no threshold": lambda w: segment(
        np.arange(5), np.ones(5, np.float32), SegmenterConfig("global")
    ),
    "segmenter: limits": lambda w: SegmenterConfig("global", min_group=5, max_group=4),
    "segmenter: of another criterion": lambda w: SegmenterConfig("dedup", threshold=1.0),
    "segmenter: rate 0": lambda w: calibrated(w, rates=[0]),
    "segmenter: rate 99": lambda w: calibrated(w, rates=[99]),
    "segmenter: rate out of reach": lambda w: calibrated(
        w,
        criteria=[{"criterion": "global", "min_group": 5}],
        default={"criterion": "global_min5", "rate": 15},
    ),
    "segmenter: default": lambda w: calibrated(w, default={"criterion": "globe", "rate": 15}),
    "segmenter: threshold in the plan": lambda w: calibrated(
        w, criteria=[{"criterion": "global", "threshold": 2.0}]
    ),
    "segmenter: no configuration": lambda w: load_plan(w.tmp / "segmenter.yaml"),
    "segmenter: report on another model's set": lambda w: calibrated(
        w, report=[w.other / "scored"]
    ),
    "segmenter: nothing scored": lambda w: calibrated(w, scored=w.tmp),
    "model: LM of another tokenizer": lambda w: packed(w, entropy_lm=w.other / "lm"),
    "model: calibration of another tokenizer": lambda w: packed(
        w, calibration=w.other / "calibration.yaml"
    ),
    "model: calibration of another LM": lambda w: packed_with_calibration(w, entropy_lm="0" * 16),
    "model: none": lambda w: compress(w, model=w.tmp / "none"),
    "model: parts missing": lambda w: call(command, "info", w.good / "lm"),
    "model: version": lambda w: compress(
        w,
        model=make.edit_yaml(
            make.copy(w.good / "model", w.tmp / "model") / "model.yaml", format=2
        ).parent,
    ),
    "compress: rate outside the curve": lambda w: compress(w, "--rate", 45),
    "compress: rate 99": lambda w: compress(w, "--rate", 99),
    "compress: criterion": lambda w: compress(w, "--criterion", "planed"),
    "compress: nothing readable": lambda w: compress(w, wav=make.write_text(w.tmp / "a.wav", "")),
    "compress: same name twice": lambda w: compress(w, make.write_wav(w.tmp / "b/a.wav")),
    "compress: option": lambda w: compress(w, "--rat", 15),
    "stream: two inputs": lambda w: compress(w, w.tmp / "b.wav", "--stream"),
    "stream: 8 kHz stereo": lambda w: stream(w, make.wav_header(8000, 2)),
    "stream: FLAC": lambda w: stream(w, b"fLaC" + bytes(100)),
    "recipe: option": lambda w: recipe(w, "--valid_sets", "x"),
    "recipe: value": lambda w: recipe(w, "--nj", "many"),
    "recipe: configuration file": lambda w: recipe(w, "--tokenizer_config", "conf/none.yaml"),
    "recipe: stage": lambda w: recipe(w, "--stage", "tokens"),
    "recipe: input missing": lambda w: recipe(w, "--stage", "tokenize"),
    "recipe: Python": lambda w: recipe(w, ESPNET_ENTROPY_PYTHON="/none/python"),
    "run.pl: log without JOB": lambda w: run_pl(w, "JOB=1:2", "x.log", "true"),
    "run.pl: option": lambda w: run_pl(w, "--max-job-run", "2", "x.log", "true"),
    "run.pl: range": lambda w: run_pl(w, "JOB=2:1", "x.JOB.log", "true"),
    "run.pl: no command": lambda w: run_pl(w, "x.log"),
    "run.pl: GPU": lambda w: run_pl(w, "--gpu", "1", "x.log", "true", CUDA_VISIBLE_DEVICES=""),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_message(name, w, connections, capsys):
    check_message(ACTIONS[name], w, capsys, MESSAGES[name])
    assert not connections or name == "hubert: not at hand"


def test_the_table_has_exactly_these_rows():
    assert list(MESSAGES) == list(ACTIONS)
    assert len(ACTIONS) >= 25


def test_a_pickle_of_the_table_would_run_code(tmp_path):
    """Or those rows would prove nothing."""
    import pickle

    path = make.write_bomb(tmp_path / "km.bin", tmp_path / "ran")
    pickle.loads(path.read_bytes())
    assert (tmp_path / "ran").exists()
