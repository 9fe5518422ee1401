"""From scored units to text: what users get wrong, and what they read (``asr.yaml``)."""

import json
from pathlib import Path

import numpy as np
import pytest
import wrong_inputs as make
import yaml
from bad_inputs import ROOT, check_message, read_table
from toy_recognizer import make_experiment, write_dump
from wrong_inputs import bash, call

from espnet_entropy.bin import (
    asr_infer,
    compare_asr,
    estimate_training,
    measure_latency,
    pack_recognizer,
    prepare_asr,
    report_asr,
    score_asr,
    sweep_asr,
    token_list,
    train_unit_bpe,
)
from espnet_entropy.bin import main as command

MESSAGES = read_table(Path(__file__).parent / "asr.yaml")
RECIPE = ROOT / "egs2/mini_synth/asr1"
TEXT = "u0 A B\nu1 B\nu2 A\nu3 B A\n"


@pytest.fixture(scope="module")
def experiment(models):
    """A training on the good model's units, packed: ``GOOD/exp`` and ``GOOD/exp/recognizer``."""
    exp = make_experiment(models[0] / "exp", models[0] / "model", epochs={1: 0.2, 2: 0.5})
    call(pack_recognizer, "--exp", exp, "--out", exp / "recognizer", "--n_average", 1)
    return exp


@pytest.fixture
def w(w, experiment, monkeypatch):
    """A row works in its own directory, as a user in a recipe's."""
    monkeypatch.chdir(w.tmp)
    w.exp, w.recognizer = experiment, experiment / "recognizer"
    return w


# --- what a user does


def prepared(w, *words, scored=None, text=TEXT):
    make.write_text(w.tmp / "text", text)
    places = ("--scored", scored or w.good / "scored", "--text", w.tmp / "text")
    call(prepare_asr, *places, "--out", w.tmp / "asr", *words)


def moved_dump(w):
    dump = make.copy(w.good / "scored", w.tmp / "scored")
    make.edit_text(dump / "scored.scp", str(w.good), "gone")
    return dump


def without(path, name):
    (path / name).unlink()
    return path


def tokens(w, *words, text=TEXT):
    make.write_text(w.tmp / "text", text)
    call(token_list, "--text", w.tmp / "text", "--out", w.tmp / "tokens", *words)


def unit_bpe(w, size, scored=None):
    places = ("--scored", scored or w.good / "scored", "--out", w.tmp / "bpe")
    call(train_unit_bpe, *places, "--vocab_size", size)


def packed(w, *words, exp=None, **config):
    exp = exp or make.copy(w.exp, w.tmp / "exp")
    if config:
        make.edit_yaml(exp / "config.yaml", **config)
    call(pack_recognizer, "--exp", exp, "--out", w.tmp / "recognizer", *words)


def decoded(w, *words, model=None, scored=None):
    places = ("--scored", scored or w.good / "scored", "--out", w.tmp / "decode")
    call(asr_infer, "--model", model or w.recognizer, *places, *words)


def decoded_99(w):
    """Unit 99 in a set that claims to be of the recognizer's units."""
    dump = write_dump(w.tmp / "dump", {"u": np.float32([[0, 1], [99, 1]])}, w.good / "model")
    decoded(w, scored=dump)
    decoded(w, "--merge", scored=dump)


def spoiled(w, spoil):
    path = make.copy(w.recognizer, w.tmp / "recognizer")
    spoil(path)
    return path


def transcribe(w, *words, model=None, wav=None):
    wav = wav or make.write_wav(w.tmp / "a.wav")
    call(command, "transcribe", wav, *words, "--model", model or w.recognizer)


def scored(w, *words, ref=TEXT, hyp=TEXT, decode=None):
    """Texts as strings; ``None`` for a file that is missing."""
    for name, text in (("ref", ref), ("hyp", hyp)):
        if text is not None:
            make.write_text(w.tmp / name / "text", text)
    if decode is not None:
        make.write_yaml(w.tmp / "hyp/decode.yaml", **decode)
    places = ("--ref", w.tmp / "ref/text", "--hyp", w.tmp / "hyp/text", "--out", w.tmp / "score")
    call(score_asr, *places, *words)


def result(w, name, text=TEXT):
    """A scored set, as ``--system`` wants it."""
    make.write_text(w.tmp / "text", text)
    given = ("--ref", w.tmp / "text", "--hyp", w.tmp / "text", "--test_set", "test")
    call(score_asr, *given, "--out", w.tmp / name)
    return w.tmp / name


def compared(w, *words, system="a", reference="b", other=TEXT):
    result(w, "a"), result(w, "b", other)
    call(compare_asr, "--system", w.tmp / system, "--reference", w.tmp / reference, *words)


def report(w, *words):
    call(report_asr, *words, "--out", w.tmp / "report", "--places", ROOT / "egs2/TEMPLATE/asr1")


def foreign_result(w):
    path = w.tmp / "exp/decode/test/score.json"
    make.write_text(path, json.dumps({"task": "asr_comparison"}))
    report(w, "--exp", w.tmp / "exp")


def sweep(w, *words, name="mine", units=True, reference=None, **row):
    content = {"title": "mine", "rows": [{"name": "a", **row}]}
    content |= {} if reference is None else {"reference": reference}
    make.write_yaml(w.tmp / "conf/sweep/mine.yaml", **content)
    if units:
        make.write_text(w.tmp / "units1/run.sh", "")
    given = {
        "--sweep": name,
        "--places": ".",
        "--base": RECIPE / "conf/train_asr.yaml",
        "--units": w.tmp / "units1",
        "--calibrate_on": w.good / "scored",
        "--segmenter": w.good / "segmenter.yaml",
        "--launcher": f"python3 {ROOT}/utils/run.pl",
    }
    given |= dict(zip(words[::2], words[1::2], strict=True))
    options = [word for pair in given.items() for word in pair]
    call(sweep_asr, *options, "--stages", "train", "--", "true")


def latency(w, *words, scored=None):
    places = ("--scored", scored or w.good / "scored", "--out", w.tmp / "latency")
    call(measure_latency, *places, *words)


def random_rows(w, *words):
    sweep_file = ROOT / "egs2/TEMPLATE/asr1/conf/sweep/table3.yaml"
    latency(w, "--config", RECIPE / "conf/train_asr.yaml", "--sweep", sweep_file, *words)


def estimate(w, *words, **config):
    base = yaml.safe_load((ROOT / "egs2/librispeech/asr1/conf/train_asr_100h.yaml").read_text())
    path = make.write_yaml(w.tmp / "train.yaml", **base | config)
    call(estimate_training, "--config", path, *words)


def recipe(w, *options):
    for name in ("train_asr", "inference_asr"):
        make.write_yaml(w.tmp / f"conf/{name}.yaml")
    bash(ROOT / "egs2/TEMPLATE/asr1/asr.sh", *options, cwd=w.tmp)


ACTIONS = {
    "prepare_asr: nothing scored": lambda w: prepared(w, scored=w.tmp / "dump"),
    "prepare_asr: no texts": lambda w: prepared(w, text="x A\n"),
    "prepare_asr: limits": lambda w: prepared(w, "--min_units", 5, "--max_units", 3),
    "prepare_asr: dump was moved": lambda w: prepared(w, scored=moved_dump(w)),
    "prepare_asr: no meta.yaml": lambda w: prepared(
        w, scored=without(make.copy(w.good / "scored", w.tmp / "scored"), "meta.yaml")
    ),
    "token_list: no text": lambda w: call(
        token_list, "--text", w.tmp / "text", "--out", w.tmp / "tokens"
    ),
    "token_list: empty": lambda w: tokens(w, text="u0\nu1\n"),
    "token_list: too few pieces": lambda w: tokens(w, "--size", 3),
    "token_list: type": lambda w: tokens(w, "--type", "word"),
    "train_unit_bpe: nothing scored": lambda w: unit_bpe(w, 20, scored=w.tmp),
    "train_unit_bpe: too few pieces": lambda w: unit_bpe(w, make.K),
    "pack_recognizer: not trained": lambda w: packed(w, exp=w.tmp / "exp"),
    "pack_recognizer: no finished epoch": lambda w: packed(
        w, exp=without(make.copy(w.exp, w.tmp / "exp"), "checkpoint.pth")
    ),
    "pack_recognizer: an epoch's weights are gone": lambda w: packed(
        w, exp=without(make.copy(w.exp, w.tmp / "exp"), "2epoch.pth")
    ),
    "pack_recognizer: n_average": lambda w: packed(w, "--n_average", 0),
    "pack_recognizer: checkpoint": lambda w: packed(w, "--checkpoint", "9epoch.pth"),
    "pack_recognizer: units of another model": lambda w: packed(
        w, "--compressor", w.other / "model"
    ),
    "pack_recognizer: model directory is gone": lambda w: packed(
        w, frontend_conf=config_of(w)["frontend_conf"] | {"model": "gone"}
    ),
    "pack_recognizer: BPE model is gone": lambda w: packed(w, token_type="bpe", bpemodel="gone"),
    "pack_recognizer: not ours": lambda w: packed(w, encoder="conformer"),
    "pack_recognizer: key of the decoding": lambda w: packed(
        w, "--config", make.write_yaml(w.tmp / "inference.yaml", beamsize=3)
    ),
    "asr_infer: no recognizer": lambda w: decoded(w, model=w.tmp / "none"),
    "asr_infer: nothing scored": lambda w: decoded(w, scored=w.tmp),
    "asr_infer: units of another tokenizer": lambda w: decoded(w, scored=w.other / "scored"),
    "asr_infer: unit that it does not know": decoded_99,
    "asr_infer: beam": lambda w: decoded(w, "--beam_size", 0),
    "asr_infer: beam above the vocabulary": lambda w: decoded(w, "--beam_size", 99),
    "asr_infer: ctc_weight": lambda w: decoded(w, "--ctc_weight", 0.3),
    "asr_infer: sets and outputs": lambda w: decoded(w, "--out", "a", "b"),
    "asr_infer: merged too early": lambda w: decoded(w, "--merge"),
    "asr_infer: device": lambda w: decoded(w, "--device", "gpu"),
    "score_asr: no hypotheses": lambda w: scored(w, hyp=None),
    "score_asr: no reference": lambda w: scored(w, ref=None),
    "score_asr: of another set": lambda w: scored(w, hyp="v0 A\n"),
    "score_asr: nothing recognized": lambda w: scored(w, hyp=""),
    "score_asr: no speaker": lambda w: scored(
        w, "--utt2spk", make.write_text(w.tmp / "utt2spk", "u0 s\n")
    ),
    "score_asr: decoded by another": lambda w: scored(
        w, "--recognizer", w.recognizer, decode={"fingerprint": "another"}
    ),
    "score_asr: rate without groups": lambda w: scored(w, "--scored", w.good / "scored"),
    "score_asr: value of the wrong type": lambda w: scored(
        w, "--meta", make.write_yaml(w.tmp / "meta.yaml", seed="one")
    ),
    "compare_asr: not scored": lambda w: compared(w, system="none"),
    "compare_asr: one run twice": lambda w: compared(w, reference="a"),
    "compare_asr: other utterances": lambda w: compared(w, other="v0 A\n"),
    "compare_asr: other references": lambda w: compared(w, other=TEXT.replace("u1 B", "u1 B B")),
    "compare_asr: metric": lambda w: compared(w, "--metric", "ser"),
    "compare_asr: part": lambda w: compared(w, "--part", "new"),
    "compare_asr: speakers": lambda w: compared(w, "--by", "speaker"),
    "compare_asr: margin": lambda w: compared(w, "--margin", -1),
    "report_asr: nothing scored": lambda w: report(w, "--exp", w.tmp / "exp"),
    "report_asr: another result": foreign_result,
    "report_asr: no sweep": lambda w: report(w, "--sweep", "exp/sweep/methodss"),
    "sweep_asr: unknown": lambda w: sweep(w, name="mines"),
    "sweep_asr: key of a row": lambda w: sweep(w, trains={}),
    "sweep_asr: reference": lambda w: sweep(w, reference="b"),
    "sweep_asr: key of ours": lambda w: sweep(w, train={"encoder_conf": {"widht": 3}}),
    "sweep_asr: size of the unit BPE": lambda w: sweep(
        w, train={"frontend_conf": {"criterion": "unit_bpe"}}
    ),
    "sweep_asr: seeds": lambda w: sweep(w, "--seeds", "one"),
    "sweep_asr: budget": lambda w: sweep(w, "--budgets", "flop"),
    "sweep_asr: recipe of units": lambda w: sweep(w, units=False),
    "sweep_asr: seed for all": lambda w: sweep(w, "--train_arguments", "--seed 3 "),
    "sweep_asr: groups that cannot be": lambda w: sweep(
        w,
        "--units",
        make.write_text(
            make.copy(w.good / "model", w.tmp / "u/exp/compressor").parents[1] / "run.sh", ""
        ).parent,
        train={"frontend_conf": {"criterion": "globall", "rate": 15}},
    ),
    "measure_latency: nothing to time": lambda w: latency(w),
    "measure_latency: nothing scored": lambda w: random_rows(w, "--scored", w.tmp),
    "measure_latency: row": lambda w: random_rows(w, "--rows", "raw_5"),
    "measure_latency: recognizers": lambda w: latency(w, "--recognizers", w.recognizer),
    "measure_latency: clock": lambda w: random_rows(w, "--clock", "sun"),
    "measure_latency: texts": lambda w: random_rows(
        w, "--text", make.write_text(w.tmp / "text", "x A\n")
    ),
    "measure_latency: BPE model": lambda w: random_rows(
        w, "--text", make.write_text(w.tmp / "text", TEXT), "--bpemodel", w.tmp / "bpe.model"
    ),
    "measure_latency: of other units": lambda w: latency(
        w, "--recognizers", f"a={w.recognizer}", scored=w.other / "scored"
    ),
    "estimate_training: throughput": lambda w: estimate(w, "--tflops", 0),
    "estimate_training: batches": lambda w: estimate(w, "--tflops", 20, batch_type="folded"),
    "estimate_training: not ours": lambda w: estimate(w, "--tflops", 20, encoder="conformer"),
    "estimate_training: key": lambda w: estimate(w, "--tflops", 20, encoder_conf={"widht": 64}),
    "transcribe: no recognizer": lambda w: transcribe(w, model=w.tmp / "none"),
    "transcribe: a compressor": lambda w: transcribe(w, model=w.good / "model"),
    "transcribe: version": lambda w: transcribe(
        w, model=spoiled(w, lambda path: make.edit_yaml(path / "recognizer.yaml", format=2))
    ),
    "transcribe: damaged": lambda w: transcribe(
        w, model=spoiled(w, lambda path: make.cut(path / "model.safetensors", 100))
    ),
    "transcribe: path outside": lambda w: transcribe(
        w, model=spoiled(w, lambda path: sealed(path, token_list="/etc/passwd"))
    ),
    "transcribe: compressor of another": lambda w: transcribe(
        w, model=spoiled(w, lambda path: other_compressor(path, w.other / "model"))
    ),
    "transcribe: nothing readable": lambda w: transcribe(
        w, wav=make.write_text(w.tmp / "a.wav", "")
    ),
    "transcribe: beam": lambda w: transcribe(w, "--beam_size", 0),
    "transcribe: option": lambda w: transcribe(w, "--beam", 3),
    "recipe: option": lambda w: recipe(w, "--sweeps", "methods"),
    "recipe: stage": lambda w: recipe(w, "--stage", "decode"),
    "recipe: configuration": lambda w: recipe(w, "--asr_config", "conf/none.yaml"),
    "recipe: sweep": lambda w: recipe(w, "--sweep", "method"),
}


def config_of(w):
    return yaml.safe_load((w.exp / "config.yaml").read_text())


def sealed(path, **config):
    """Another ``config.yaml`` under a fingerprint that fits it."""
    from espnet_entropy.recognizer.model_dir import files_fingerprint

    make.edit_yaml(path / "config.yaml", **config)
    make.edit_yaml(path / "recognizer.yaml", fingerprint=files_fingerprint(path))


def other_compressor(path, model):
    import shutil

    shutil.rmtree(path / "compressor")
    make.copy(model, path / "compressor")


@pytest.mark.parametrize("name", ACTIONS)
def test_message(name, w, connections, capsys):
    check_message(ACTIONS[name], w, capsys, MESSAGES[name])
    assert not connections


def test_the_table_has_exactly_these_rows():
    assert list(MESSAGES) == list(ACTIONS)
