import json

import pytest
from toy_compressor import assemble, make_parts

from espnet_entropy import models
from espnet_entropy.bin.main import main
from espnet_entropy.compressor import ModelDirectory


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A toy as the only shipped model, from another place than the current directory."""
    make_parts(tmp_path / "parts")
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


def test_a_directory_goes_before_a_name(toy, tmp_path):
    (tmp_path / "elsewhere/toy").mkdir()
    with pytest.raises(ValueError, match="not a model directory"):
        ModelDirectory.open("toy")
    with pytest.raises(ValueError, match="nowhere: no such model directory"):
        ModelDirectory.open("nowhere")
