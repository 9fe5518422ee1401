import shutil

import numpy as np
import pytest
import yaml

from espnet_entropy.compressor import Compressor, ModelDirectory


def test_groups_cover_the_utterance_at_about_the_rate(compressor, wav):
    speech = compressor(wav)
    assert len(speech.units) == len(speech.entropy) == len(speech.starts) == 149
    assert speech.group_lengths.sum() == 149
    assert (speech.entropy >= 0).all()
    assert (speech.entropy <= np.log(20) + 1e-5).all()
    assert np.concatenate([g.units for g in speech.groups]).tolist() == speech.units.tolist()
    assert 10 < speech.rate < 20
    assert speech.groups[0].start == 0.0
    for left, right in zip(speech.groups, speech.groups[1:], strict=False):
        assert left.end == right.start


@pytest.mark.parametrize("piece", [160, 4000, 10**6])
def test_a_stream_gives_the_same_groups_as_the_whole(compressor, wav, piece):
    stream = compressor.stream()
    groups = []
    for begin in range(0, len(wav), piece):
        groups += stream.push(wav[begin : begin + piece])
    early = len(groups)
    groups += stream.flush()
    speech = compressor(wav)
    assert [g.first for g in groups] == np.flatnonzero(speech.starts).tolist()
    assert np.concatenate([g.units for g in groups]).tolist() == speech.units.tolist()
    np.testing.assert_allclose(
        np.concatenate([g.entropy for g in groups]), speech.entropy, atol=1e-4
    )
    assert early > 0.7 * len(groups)  # they came while the speech went on


def test_rates_and_criteria_can_be_chosen(model, wav):
    coarse = Compressor.from_pretrained(model, rate=7)(wav)
    fine = Compressor.from_pretrained(model, rate=15)(wav)
    between = Compressor.from_pretrained(model, rate=11.3)(wav)
    assert coarse.rate < between.rate < fine.rate
    even = Compressor.from_pretrained(model, criterion="uniform", rate=15)(wav)
    assert set(even.group_lengths.tolist()) <= {1, 2, 3, 4}
    runs = Compressor.from_pretrained(model, criterion="dedup")(wav)  # at the rate that it makes
    assert (runs.starts[1:] == (runs.units[1:] != runs.units[:-1])).all()
    with pytest.raises(ValueError, match="'dedup' has no threshold"):
        Compressor.from_pretrained(model, criterion="dedup", rate=3)
    with pytest.raises(ValueError, match=r"unknown criterion 'globl'.*Did you mean 'global'"):
        Compressor.from_pretrained(model, criterion="globl")
    with pytest.raises(ValueError, match=r"at most 50 Hz.*got 60"):
        Compressor.from_pretrained(model, rate=60)


def test_a_moved_directory_is_the_same_model(model, wav, tmp_path):
    shutil.copytree(model, tmp_path / "elsewhere")
    before = Compressor.from_pretrained(model)(wav)
    after = Compressor.from_pretrained(tmp_path / "elsewhere")(wav)
    assert (before.units == after.units).all()
    assert (before.entropy == after.entropy).all()


def test_a_hubert_comes_along_and_streams(hubert_parts, wav, tmp_path):
    ModelDirectory.assemble(
        tmp_path / "made",
        hubert_parts / "tokenizer",
        hubert_parts / "entropy_lm",
        hubert_parts / "calibration.yaml",
        criterion="planned",
        rate=15,
        card="",
    )
    before = Compressor.from_pretrained(tmp_path / "made")(wav)
    shutil.rmtree(tmp_path / "hubert")  # where the speech model was when the parts were made
    shutil.move(tmp_path / "made", tmp_path / "moved")
    compressor = Compressor.from_pretrained(tmp_path / "moved")
    after = compressor(wav)
    assert (before.units == after.units).all()
    assert (before.starts == after.starts).all()
    stream = compressor.stream()
    pieces = [stream.push(wav[i : i + 1000]) for i in range(0, len(wav), 1000)]
    groups = [group for piece in [*pieces, stream.flush()] for group in piece]
    assert [g.first for g in groups] == np.flatnonzero(after.starts).tolist()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("tokenizer", "the entropy LM belongs to the tokenizer"),
        ("entropy_lm", "the entropy LM belongs to the tokenizer"),
        ("calibration.yaml", "the calibration belongs to the tokenizer"),
    ],
)
def test_parts_of_different_models_are_refused(model, other_parts, tmp_path, part, message):
    mixed = tmp_path / "mixed"
    shutil.copytree(model, mixed)
    source = other_parts / part
    if source.is_dir():
        shutil.copytree(source, mixed / part, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, mixed / part)
    with pytest.raises(ValueError, match=message):
        Compressor.from_pretrained(mixed)


def test_assemble_refuses_what_does_not_fit(parts, other_parts, tmp_path):
    with pytest.raises(ValueError, match="belongs to the tokenizer"):
        ModelDirectory.assemble(
            tmp_path / "x",
            other_parts / "tokenizer",
            parts / "entropy_lm",
            parts / "calibration.yaml",
            criterion="planned",
            rate=15,
            card="",
        )
    assert not (tmp_path / "x").exists()


def test_parts_other_than_those_of_model_yaml_are_refused(model, other_parts, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(model, mixed)
    manifest = yaml.safe_load((mixed / "model.yaml").read_text())
    (mixed / "model.yaml").write_text(yaml.safe_dump(manifest | {"num_clusters": 21}))
    with pytest.raises(ValueError, match=r"model.yaml: num_clusters is 21, but .* is 20"):
        Compressor.from_pretrained(mixed)
    (mixed / "model.yaml").write_text(yaml.safe_dump(manifest))
    Compressor.from_pretrained(mixed)
    for part in ("tokenizer", "entropy_lm"):
        shutil.copytree(other_parts / part, mixed / part, dirs_exist_ok=True)
    shutil.copyfile(other_parts / "calibration.yaml", mixed / "calibration.yaml")
    with pytest.raises(ValueError, match=f"model.yaml: tokenizer is {manifest['tokenizer']}, but"):
        Compressor.from_pretrained(mixed)


def test_assembling_again_is_whole_or_no_model(parts, tmp_path, monkeypatch):
    assembled = assemble_at(tmp_path / "x", parts)
    ModelDirectory.open(assembled)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            assemble_at(assembled, parts)
    with pytest.raises(ValueError, match=r"lacks model.yaml"):
        ModelDirectory.open(assembled)
    Compressor.from_pretrained(assemble_at(assembled, parts))


def assemble_at(path, parts):
    ModelDirectory.assemble(
        path,
        parts / "tokenizer",
        parts / "entropy_lm",
        parts / "calibration.yaml",
        criterion="planned",
        rate=15,
        card="",
    )
    return path


def test_directories_that_are_not_models(model, tmp_path):
    with pytest.raises(ValueError, match="no such model directory; a recipe makes one"):
        ModelDirectory.open(tmp_path / "none")
    with pytest.raises(ValueError, match=r"lacks model.yaml, tokenizer, entropy_lm"):
        ModelDirectory.open(tmp_path)
    shutil.copytree(model, tmp_path / "new")
    manifest = yaml.safe_load((tmp_path / "new/model.yaml").read_text())
    manifest["format"] = 2
    (tmp_path / "new/model.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(ValueError, match="format 2, but this version reads format 1"):
        ModelDirectory.open(tmp_path / "new")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(399, np.float32), "399 samples are shorter than one frame"),
        (np.zeros((2, 16000), np.float32), r"expected \(T,\)"),
        (np.zeros(16000, np.int16), "floating-point samples"),
        (np.full(16000, np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_bad_waveforms(compressor, bad, message):
    with pytest.raises(ValueError, match=message):
        compressor(bad)
