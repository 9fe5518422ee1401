import fnmatch
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sounds import babble
from toy_compressor import assemble, make_parts

from espnet_entropy import models
from espnet_entropy.bin.main import main
from espnet_entropy.compressor import Compressor, ModelDirectory
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_model_dir import save_encoder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A toy as the only shipped model, seen from another place than its own."""
    torch.manual_seed(0)
    save_encoder(MelEncoder(MelEncoderConfig(24, 2, 2, 48, 5)), tmp_path / "encoder")
    features = build_features("mel_encoder", {"model": str(tmp_path / "encoder")})
    make_parts(tmp_path / "parts", features=features)
    assemble(tmp_path / "parts").rename(tmp_path / "toy")
    monkeypatch.setattr(models, "ROOT", tmp_path)
    monkeypatch.setattr(models, "DEFAULT", "toy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "toy"


def test_a_shipped_model_is_found_by_its_name_and_without_one(toy, capsys):
    assert models.shipped() == ["toy"]
    assert models.resolve("toy") == models.resolve(None) == toy
    assert ModelDirectory.open().path == ModelDirectory.open("toy").path == toy
    for words in (["info", "--json"], ["info", "toy", "--json"]):
        main(words)
        assert json.loads(capsys.readouterr().out)["model"] == str(toy)


def test_speech_is_compressed_without_naming_a_model(toy, capsys):
    wav = babble(0, 2.0)
    units = Compressor.from_pretrained()(wav).units
    soundfile.write("a.wav", wav, 16_000, subtype="FLOAT")
    main(["compress", "a.wav"])
    assert json.loads(capsys.readouterr().out)["units"] == units.tolist()


def test_its_encoder_serves_other_tokenizers(toy):
    """By the model's name, unless a directory of that name is an encoder itself."""
    wav = babble(1, 1.0)
    own = build_features("mel_encoder", {"model": str(toy / "tokenizer/model")}).extract(wav)
    Path("toy").mkdir()  # by chance
    np.testing.assert_array_equal(build_features("mel_encoder", {"model": "toy"}).extract(wav), own)
    torch.manual_seed(1)
    save_encoder(MelEncoder(MelEncoderConfig(24, 2, 2, 48, 5)), "toy")
    assert not np.array_equal(build_features("mel_encoder", {"model": "toy"}).extract(wav), own)


def test_a_model_directory_goes_before_a_name(toy):
    Path("toy").mkdir()
    assert ModelDirectory.open("toy").path == toy
    Path("toy/model.yaml").touch()
    with pytest.raises(ValueError, match="not a model directory"):
        ModelDirectory.open("toy")
    with pytest.raises(ValueError, match="nowhere: no such model directory"):
        ModelDirectory.open("nowhere")


def test_what_is_shipped_is_small_whole_and_packaged():
    setup = (ROOT / "setup.py").read_text()
    assert '"espnet_entropy.models"' in setup
    folders = re.findall(r'"(\*[^"]*)"', setup.split('"espnet_entropy.models"')[1].split("]")[0])
    assert models.DEFAULT in models.shipped()
    for name in models.shipped():
        files = [file for file in (models.ROOT / name).rglob("*") if file.is_file()]
        assert sum(file.stat().st_size for file in files) <= 10e6
        for file in files:
            inside = str(file.parent.relative_to(models.ROOT))
            assert any(fnmatch.fnmatchcase(inside, folder) for folder in folders), file
            assert file.suffix in (".yaml", ".md", ".safetensors"), file


@pytest.mark.parametrize("name", models.shipped())
def test_a_shipped_model_makes_groups_of_its_rate(name):
    """Speech-like noise: nobody promises 15 Hz here, but neither every unit nor one group."""
    compress = Compressor.from_pretrained(name)
    speech = compress(babble(2, 4.0))
    assert speech.group_lengths.sum() == len(speech.units) == 199
    assert 4 < speech.rate < 30
    stream = compress.stream()
    groups = stream.push(babble(2, 4.0)) + stream.flush()
    assert sum(len(group.units) for group in groups) == 199
