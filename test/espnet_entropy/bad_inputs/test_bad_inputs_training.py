"""Training: mistakes in configurations and calls, and what users read (``training.yaml``)."""

from pathlib import Path

import pytest
import wrong_inputs as make
from bad_inputs import check_message, read_table
from toy_training import make_corpus, options, write_config

from espnet_entropy.bin import asr_train, lm_train

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s
MESSAGES = read_table(Path(__file__).parent / "training.yaml")


def train(w, *words, replace=(), text=None, **config):
    """``asr_train`` on a good corpus, with some keys of its configuration changed."""
    root = make_corpus(w.tmp)
    write_config(root, **config)
    if text is not None:
        (root / "train.yaml").write_text(text)
    made = options(root, root / "exp", *words)
    asr_train.main([word.replace(*replace) if replace else word for word in made])


def train_lm(w, **config):
    path = make.write_yaml(w.tmp / "train.yaml", lm="entropy_lm", **config)
    tokens = make.write_text(w.tmp / "tokens.txt", "0\n1\n<sos/eos>\n")
    places = ("--output_dir", w.tmp / "exp", "--token_list", tokens)
    make.call(lm_train, "--config", path, *places)


ACTIONS = {
    "configuration: missing": lambda w: train(w, replace=("train.yaml", "none.yaml")),
    "configuration: empty": lambda w: train(w, text=""),
    "configuration: not YAML": lambda w: train(w, text="encoder_conf: {width: 3\nmax_epoch: 2\n"),
    "configuration: a list": lambda w: train(w, text="- 1\n"),
    "configuration: key": lambda w: train(w, max_epochs=3),
    "configuration: decoder": lambda w: train(w, decoder="transfomer"),
    "configuration: key of the decoder": lambda w: train(w, decoder_conf={"num_block": 2}),
    "configuration: key of the model": lambda w: train(w, model_conf={"ctc_weigth": 0.3}),
    "configuration: key of CTC": lambda w: train(w, ctc_conf={"zero_infinite": True}),
    "configuration: batches": lambda w: train(w, batch_type="numell"),
    "configuration: optimizer": lambda w: train(w, optim="adamm"),
    "configuration: key of the optimizer": lambda w: train(w, optim_conf={"lrr": 1.0}),
    "configuration: schedule": lambda w: train(w, scheduler="warmupcosine"),
    "units: foreign encoder": lambda w: train(w, encoder="conformer"),
    "units: foreign frontend": lambda w: train(w, frontend="default"),
    "units: key of the encoder": lambda w: train(w, encoder_conf={"widht": 8}),
    "units: a size twice": lambda w: train(w, encoder_conf={"width": 8, "output_size": 8}),
    "units: size of the encoder": lambda w: train(w, encoder_conf={"width": "many"}),
    "units: criterion": lambda w: train(w, frontend_conf={"criterion": "dedupe"}),
    "units: no model directory": lambda w: train(w, frontend_conf={"model": "none"}),
    "units: no threshold": lambda w: train(w, frontend_conf={"criterion": "global", "rate": 15}),
    "units: volume": lambda w: train(w, speech_volume_normalize=1.0),
    "units: input size": lambda w: train(w, input_size=80),
    "units: precision": lambda w: train(w, train_dtype="float16"),
    "units: CTC that is not guarded": lambda w: train(
        w, ctc_conf={"zero_infinity": False}, model_conf={"ctc_weight": 0.1}
    ),
    "call: no token list": lambda w: train(w, replace=("tokens.txt", "none.txt")),
    "call: no dump": lambda w: train(w, replace=("dump/train/scored.scp", "none/scored.scp")),
    "call: no text": lambda w: train(w, replace=("text/valid", "text/none")),
    "call: no shapes": lambda w: train(w, replace=("train/speech_shape", "train/none")),
    "call: foreign weights": lambda w: train(
        w, "--init_param", str(make.write_bomb(w.tmp / "init.pth", w.tmp / "ran"))
    ),
    "entropy LM: key": lambda w: train_lm(w, lm_config={}),
    "entropy LM: size": lambda w: train_lm(w, lm_conf={"widht": 8}),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_message(name, w, connections, capsys, monkeypatch):
    monkeypatch.chdir(w.tmp)
    check_message(ACTIONS[name], w, capsys, MESSAGES[name])


def test_the_table_has_exactly_these_rows():
    assert list(MESSAGES) == list(ACTIONS)
