"""The model that is built without ESPnet's task is the one that the task builds."""

from argparse import Namespace

import pytest
import torch
from toy_recognizer import make_config, random_weights

from espnet_entropy.recognizer.build import build_model, count_parameters
from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.speech_to_text import SpeechToText
from espnet_entropy.recognizer.text import text_joiner

CONFORMER = {"num_blocks": 1, "attention_heads": 2, "linear_units": 16, "output_size": 24}
VARIANTS = {
    "cale": {},
    "with ctc": {"model_conf": {"ctc_weight": 0.3}},
    "conformer": {
        "encoder_conf": {"width": 16, "layers": 1, "heads": 2}
        | {"context": "conformer", "context_conf": CONFORMER}
    },
    "pooling": {"encoder": "unit_pooling", "encoder_conf": {"width": 16, "mode": "attention"}},
}


@pytest.mark.slow  # importing espnet2.tasks.asr takes 12-20 s
@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_model(name, model_dir, scored):
    from espnet2.bin.asr_inference import BatchBeamSearch

    from espnet_entropy.tasks.asr import UnitASRTask

    config = make_config(model_dir, **VARIANTS[name])
    defaults = UnitASRTask.get_default_config()
    theirs = UnitASRTask.build_model(Namespace(**(defaults | config))).eval()
    ours = build_model(config, config["token_list"], "test")
    weights = random_weights(config, 2)
    ours.load_state_dict(weights)
    theirs.load_state_dict(weights)
    assert count_parameters(ours) == count_parameters(theirs)
    joiner = text_joiner(config, "test")
    recognizer = SpeechToText(ours, config["token_list"], joiner, DecodingConfig(3, 20, 0.0, 0.0))
    search = BatchBeamSearch(
        scorers={"decoder": theirs.decoder},
        weights={"decoder": 1.0},
        beam_size=3,
        vocab_size=theirs.vocab_size,
        sos=theirs.sos,
        eos=theirs.eos,
        pre_beam_score_key="full",
    )
    for matrix in scored.values():
        with torch.no_grad():
            speech, lengths = torch.from_numpy(matrix)[None], torch.tensor([len(matrix)])
            memory, _ = theirs.encode(speech, lengths)
            best = search(x=memory[0], maxlenratio=-20)[0]
        found = recognizer.decode_scored(matrix)
        tokens = [theirs.token_list[i] for i in best.yseq.tolist() if i not in (theirs.eos, 0)]
        assert found.tokens == tokens
        assert found.score == pytest.approx(float(best.score), abs=1e-4)


@pytest.mark.parametrize("name", ["conformer", "cale"])
def test_a_batch_gives_the_scores_of_its_utterances(name, model_dir, scored):
    """ESPnet's convolution would read the padding of the shorter ones."""
    config = make_config(model_dir, **VARIANTS[name])
    model = build_model(config, config["token_list"], "test")
    model.load_state_dict(random_weights(config, 2))
    joiner = text_joiner(config, "test")
    recognizer = SpeechToText(model, config["token_list"], joiner, DecodingConfig(3, 20, 0.0, 0.0))
    matrices = list(scored.values())
    assert len({len(matrix) for matrix in matrices}) > 1
    for found, matrix in zip(recognizer.decode_batch(matrices), matrices, strict=True):
        alone = recognizer.decode_scored(matrix)
        assert found.tokens == alone.tokens
        assert found.score == pytest.approx(alone.score, abs=1e-4)
