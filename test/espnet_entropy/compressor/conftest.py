"""Model directories that the tests of the compressor share."""

import pytest
from small_speech_model import save_speech_model
from sounds import babble
from toy_compressor import assemble, make_parts

from espnet_entropy.compressor import Compressor
from espnet_entropy.tokenizer.features import build_features


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    make_parts(root)
    return root


@pytest.fixture(scope="session")
def model(parts):
    return assemble(parts)


@pytest.fixture(scope="session")
def utterance_model(tmp_path_factory):
    """As the recipes make it: MFCC normalized over the utterance, which a stream cannot know."""
    root = tmp_path_factory.mktemp("utterance_parts")
    make_parts(root, features=build_features("mfcc"))
    return assemble(root)


@pytest.fixture
def hubert_model(hubert_parts):
    return assemble(hubert_parts)


@pytest.fixture(scope="session")
def compressor(model):
    return Compressor.from_pretrained(model)


@pytest.fixture
def hubert_parts(tmp_path):
    """The same with a random two-block HuBERT that streams in chunks."""
    save_speech_model(tmp_path / "hubert")
    conf = {"model": str(tmp_path / "hubert"), "layer": 1, "do_normalize": False}
    chunks = {"left_context": 0.5, "chunk": 0.4, "right_context": 0.1}
    make_parts(tmp_path / "parts", features=build_features("hubert", conf | chunks))
    return tmp_path / "parts"


@pytest.fixture(scope="session")
def other_parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("other_parts")
    make_parts(root, seed=1)
    return root


@pytest.fixture(scope="session")
def wav():
    return babble(77)
