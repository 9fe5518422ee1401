"""What the tests of recognizers share; see ``toy_recognizer``."""

import numpy as np
import pytest
from sounds import babble
from toy_compressor import assemble, make_parts
from toy_recognizer import make_experiment

from espnet_entropy.compressor import Compressor
from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.pack import pack


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    """A compressor's model directory."""
    root = tmp_path_factory.mktemp("parts")
    make_parts(root)
    return assemble(root)


@pytest.fixture(scope="session")
def wavs():
    return {f"u{i}": babble(i, seconds) for i, seconds in enumerate((1.0, 2.5, 0.3, 4.0, 1.7))}


@pytest.fixture(scope="session")
def scored(model_dir, wavs):
    """Utterance id to (N, 2) float32."""
    compress = Compressor.from_pretrained(model_dir)
    made = {}
    for utt, wav in wavs.items():
        speech = compress(wav)
        made[utt] = np.stack([speech.units, speech.entropy], 1).astype(np.float32)
    return made


@pytest.fixture(scope="session")
def experiment(tmp_path_factory, model_dir):
    return make_experiment(tmp_path_factory.mktemp("training") / "asr_toy", model_dir)


@pytest.fixture(scope="session")
def packed(tmp_path_factory, experiment):
    """A recognizer directory."""
    out = tmp_path_factory.mktemp("packed") / "recognizer"
    pack(experiment, out, 1, decoding=DecodingConfig(beam_size=3, max_length=30))
    return out
