"""The recognizer directory: made, moved, damaged, forged."""

import json
import shutil
import subprocess
import sys

import pytest
import safetensors.torch
import torch
import yaml
from toy_compressor import assemble, make_parts
from toy_recognizer import make_config, make_experiment, write_dump

from espnet_entropy.bin.main import main as command
from espnet_entropy.bin.pack_recognizer import main as pack_main
from espnet_entropy.recognizer import RecognizerDirectory, SpeechToText
from espnet_entropy.recognizer.average import average
from espnet_entropy.recognizer.model_dir import files_fingerprint
from espnet_entropy.recognizer.pack import pack
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.tasks.frontend_conf import resolve_frontend
from espnet_entropy.tasks.token_list import make_token_list
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.scp import write_scp


def contents(directory):
    files = [f for f in directory.rglob("*") if f.is_file()]
    return {str(f.relative_to(directory)): f.read_bytes() for f in files}


@pytest.fixture
def copy(packed, tmp_path):
    shutil.copytree(packed, tmp_path / "copy")
    return tmp_path / "copy"


def change_config(copy, change):
    """Change config.yaml as an attacker would: with a manifest that fits."""
    config = read_yaml(copy / "config.yaml")
    change(config)
    write_yaml(copy / "config.yaml", config)
    refresh(copy)


def refresh(copy):
    manifest = read_yaml(copy / "recognizer.yaml")
    write_yaml(copy / "recognizer.yaml", manifest | {"fingerprint": files_fingerprint(copy)})


def test_everything_is_inside(experiment, tmp_path, monkeypatch, scored):
    out = tmp_path / "a/recognizer"
    pack_main(["--exp", str(experiment), "--out", str(out), "--n_average", "2"])
    assert {path.name for path in out.iterdir()} == {
        *("recognizer.yaml", "config.yaml", "model.safetensors", "tokens.txt"),
        *("compressor", "README.md"),
    }
    text = (out / "config.yaml").read_text()
    assert str(tmp_path.parent) not in text
    assert "/home/somebody" not in text
    manifest = RecognizerDirectory.open(out).manifest
    assert manifest.training["averaged_epochs"] == [2, 4]  # of two equals the earlier one
    assert manifest.training["minutes"] == 2.0
    sizes = manifest.parameters
    assert sizes["total"] == sum(sizes[part] for part in ("encoder", "decoder", "ctc"))
    weights = safetensors.torch.load_file(out / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == sizes["total"]
    expected = average([experiment / "2epoch.pth", experiment / "4epoch.pth"])
    assert all(torch.equal(weights[name], weight) for name, weight in expected.items())
    before = SpeechToText.from_pretrained(out).decode_scored(scored["u1"])
    shutil.move(out, tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    assert SpeechToText.from_pretrained("b").decode_scored(scored["u1"]) == before
    card = (tmp_path / "b/README.md").read_text()
    assert f"{sizes['decoder']:,}" in card
    assert manifest.tokenizer in card


def test_a_named_checkpoint(experiment, tmp_path):
    made = pack(experiment, tmp_path / "r", checkpoint="3epoch.pth")
    assert made.manifest.training["checkpoint"] == "3epoch.pth"
    weights = safetensors.torch.load_file(tmp_path / "r/model.safetensors")
    state = torch.load(experiment / "3epoch.pth", weights_only=True)
    assert all(torch.equal(weights[name], weight) for name, weight in state.items())


def test_killed_at_any_file_and_run_again(experiment, tmp_path, monkeypatch):
    import os

    whole = tmp_path / "whole"
    pack(experiment, whole, 2)
    replace, count = os.replace, 0

    def fail_after(limit):
        def stop(*args):
            nonlocal count
            count += 1
            if count > limit:
                raise KeyboardInterrupt
            replace(*args)

        return stop

    out = tmp_path / "out"
    for limit in range(20):
        count = 0
        monkeypatch.setattr(os, "replace", fail_after(limit))
        try:
            pack(experiment, out, 2)
            break
        except KeyboardInterrupt:
            with pytest.raises(ValueError, match=r"lacks recognizer.yaml"):
                RecognizerDirectory.open(out)
    monkeypatch.setattr(os, "replace", replace)
    assert limit >= 4
    assert contents(out) == contents(whole)
    pack(experiment, out, 2)
    assert contents(out) == contents(whole)


def test_a_compressor_of_other_units_is_refused(experiment, tmp_path):
    make_parts(tmp_path / "other", seed=1)
    other = assemble(tmp_path / "other")
    with pytest.raises(ValueError, match=r"tokenizer is .* was trained on"):
        pack(experiment, tmp_path / "r", compressor=other)
    assert not (tmp_path / "r").exists()


def test_weights_of_another_model_are_refused(model_dir, tmp_path):
    exp = make_experiment(tmp_path / "asr", model_dir, {1: 0.5})
    state = torch.load(exp / "1epoch.pth", weights_only=True)
    name = "decoder.output_layer.weight"
    for wrong, why in (
        ({k: v for k, v in state.items() if k != name}, "1 missing"),
        (state | {"extra": torch.zeros(1)}, "1 unexpected"),
        (state | {name: torch.zeros(3, 3)}, r"has shape \(3, 3\)"),
        (state | {name: state[name] * float("nan")}, "not finite"),
    ):
        torch.save(wrong, exp / "1epoch.pth")
        with pytest.raises(ValueError, match=why):
            pack(exp, tmp_path / "r")


def test_other_parts_than_ours_are_refused(model_dir, tmp_path):
    for number, (changes, why) in enumerate(
        (
            ({"decoder": "s4"}, "unknown decoder 's4'"),
            ({"encoder": "conformer"}, "unknown encoder 'conformer'"),
            ({"normalize": "utterance_mvn"}, "normalize: expected none"),
            ({"decoder_conf": {"layers": 2}}, "makes no model"),
            ({"encoder_conf": {"widht": 2}}, "Did you mean 'width'"),
            ({"token_type": "phn"}, "token_type"),
            ({"frontend_conf": {"model": str(model_dir)}}, "not resolved"),
        )
    ):
        exp = tmp_path / f"asr{number}"
        exp.mkdir()
        (exp / "config.yaml").write_text(yaml.safe_dump(make_config(model_dir, **changes)))
        with pytest.raises(ValueError, match=why):
            pack(exp, tmp_path / "r", checkpoint="none.pth")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("token_list", "../tokens.txt"),
        ("token_list", "/etc/passwd"),
        ("bpemodel", "a/../../bpe.model"),
        ("frontend_conf.model", "/tmp/compressor"),
        ("frontend_conf.unit_bpe", "../unit_bpe.model"),
        ("frontend_conf.calibration", "../x.yaml"),
        ("token_list", ["A", "B"]),
    ],
)
def test_paths_stay_inside(copy, part, name):
    def change(config):
        owner = config["frontend_conf"] if "." in part else config
        owner[part.split(".")[-1]] = name

    change_config(copy, change)
    with pytest.raises(ValueError, match="expected a path inside"):
        SpeechToText.from_pretrained(copy)


def test_what_is_damaged_is_named(copy):
    weights = copy / "model.safetensors"
    good = weights.read_bytes()
    for content in (b"", good[:100], b"\xff" * 100, good[:-8]):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or of different"):
            SpeechToText.from_pretrained(copy)
        refresh(copy)
        with pytest.raises(ValueError, match=r"model.safetensors: damaged"):
            SpeechToText.from_pretrained(copy)
    state = safetensors.torch.load(good)
    state.pop("decoder.output_layer.bias")
    weights.write_bytes(safetensors.torch.save(state))
    refresh(copy)
    with pytest.raises(ValueError, match="1 missing"):
        SpeechToText.from_pretrained(copy)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("recognizer.yaml", "- a\n", "key: value"),
        ("recognizer.yaml", "{}\n", "missing key"),
        ("recognizer.yaml", "format: [\n", "not valid YAML"),
        ("config.yaml", "- a\n", "key: value"),
        ("config.yaml", "frontend: units\n", "frontend_conf: expected a mapping"),
        ("config.yaml", "!!python/object/apply:os.system [true]\n", "not valid YAML"),
        ("tokens.txt", "A\nA\n", "different tokens"),
        ("tokens.txt", "A\n\nB\n", "different tokens"),
        ("tokens.txt", "", "different tokens"),
    ],
)
def test_texts_are_not_believed(copy, name, content, why):
    (copy / name).write_text(content)
    if name != "recognizer.yaml":
        refresh(copy)
    with pytest.raises(ValueError, match=why):
        SpeechToText.from_pretrained(copy)


def test_another_format_and_no_directory(copy, tmp_path):
    manifest = read_yaml(copy / "recognizer.yaml")
    write_yaml(copy / "recognizer.yaml", manifest | {"format": 2})
    with pytest.raises(ValueError, match="format 2"):
        RecognizerDirectory.open(copy)
    with pytest.raises(ValueError, match="no such recognizer directory"):
        RecognizerDirectory.open(tmp_path / "nothing")
    with pytest.raises(ValueError, match="not a recognizer directory: lacks"):
        RecognizerDirectory.open(copy / "compressor")


def test_info(packed, capsys):
    command(["info", str(packed)])
    words = capsys.readouterr().out
    command(["info", str(packed), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["criterion"] == "planned"
    assert content["rate"] == 15.0
    assert f"{content['parameters']['encoder']:,}" in words
    command(["info", str(packed / "compressor")])
    assert "entropy LM" in capsys.readouterr().out


def test_unit_bpe_comes_along(model_dir, tmp_path, scored, wavs):
    UnitBPE.train(write_dump(tmp_path / "dump", scored, model_dir), 40, tmp_path / "bpe")
    conf = {"model": str(model_dir), "criterion": "unit_bpe"}
    conf["unit_bpe"] = str(tmp_path / "bpe/unit_bpe.model")
    exp = make_experiment(
        tmp_path / "asr",
        model_dir,
        {1: 0.5},
        frontend_conf=resolve_frontend(conf),
        encoder="unit_pooling",
        encoder_conf={"width": 16},
    )
    manifest = pack(exp, tmp_path / "a/r").manifest
    assert (manifest.criterion, manifest.rate) == ("unit_bpe", None)
    shutil.rmtree(tmp_path / "bpe")
    shutil.move(tmp_path / "a", tmp_path / "b")
    recognizer = SpeechToText.from_pretrained(tmp_path / "b/r")
    for utt in ("u0", "u3"):
        heard, read = recognizer(wavs[utt]), recognizer.decode_scored(scored[utt])
        assert (heard.text, heard.num_groups) == (read.text, read.num_groups)
    (tmp_path / "b/r/unit_bpe.model").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged or of different"):
        SpeechToText.from_pretrained(tmp_path / "b/r")


def test_text_pieces_and_what_is_known_of_the_data(model_dir, tmp_path, scored):
    dump = write_dump(tmp_path / "dump/train", scored, model_dir)
    words = ["A BAD CAGE", "FACE", "A BEE", "DEAF", "CABBAGE"]
    write_scp(dump / "text", dict(zip(scored, words, strict=True)))
    make_token_list(dump / "text", "bpe", 20, tmp_path / "bpe")
    sources = [[str(dump / "scored.scp"), "speech", "scored"], [str(dump / "text"), "text", "text"]]
    exp = make_experiment(
        tmp_path / "asr",
        model_dir,
        {1: 0.5},
        token_type="bpe",
        bpemodel=str(tmp_path / "bpe/bpe.model"),
        token_list=(tmp_path / "bpe/tokens.txt").read_text().splitlines(),
        train_data_path_and_name_and_type=sources,
    )
    manifest = pack(exp, tmp_path / "r").manifest
    assert manifest.data["train"]["utterances"] == 5
    assert manifest.data["train"]["set"] == "train"
    write_scp(dump / "text", dict(zip(scored, words[::-1], strict=True)))
    other = pack(exp, tmp_path / "r2").manifest
    assert other.data["train"]["fingerprint"] != manifest.data["train"]["fingerprint"]
    assert other.fingerprint == manifest.fingerprint
    shutil.rmtree(tmp_path / "bpe")
    found = SpeechToText.from_pretrained(tmp_path / "r", beam_size=2).decode_scored(scored["u1"])
    assert "▁" not in found.text


def test_a_waveform_is_recognized_without_importing_transformers(packed, tmp_path):
    """It takes 8 s of CPU; features of HuBERT need it, units and text do not."""
    lines = "import sys, numpy; from espnet_entropy.recognizer import SpeechToText\n"
    lines += f"SpeechToText.from_pretrained({str(packed)!r})(numpy.ones(4000))\n"
    lines += "print([name for name in ('transformers', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
