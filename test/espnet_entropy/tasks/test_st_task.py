"""Speech translation on units, with no source texts (one process)."""

import argparse

import pytest
import torch
import yaml
from toy_training import make_corpus, options, write_config

from espnet_entropy.bin.st_train import main
from espnet_entropy.entropy_lm.export import load_checkpoint
from espnet_entropy.tasks.st import UnitSTTask

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s
MODEL = {"lsm_weight": 0.0, "length_normalized_loss": True, "report_bleu": False}


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path)


def test_a_translation_is_learned_without_source_texts(corpus):
    write_config(corpus, model_conf=MODEL, num_iters_per_epoch=20, max_epoch=6)
    main(options(corpus, corpus / "exp", valid="train"))
    stats = load_checkpoint(corpus / "exp/checkpoint.pth")["reporter"]["stats"]
    assert float(stats[6]["valid"]["loss"]) < 0.3 * float(stats[1]["valid"]["loss"])
    config = yaml.safe_load((corpus / "exp/config.yaml").read_text())
    assert config["normalize"] is None
    assert config["frontend_conf"]["asked"] == {"criterion": "fixed_window2"}
    model = UnitSTTask.build_model(argparse.Namespace(**config))
    model.load_state_dict(load_checkpoint(corpus / "exp/6epoch.pth"), strict=True)
    out, lengths = model.eval().encode(torch.ones(1, 7, 2), torch.tensor([7]))
    assert (out.shape, lengths.tolist()) == ((1, 4, 32), [4])


def test_a_task_on_source_texts_needs_them(corpus):
    write_config(corpus, model_conf={**MODEL, "asr_weight": 0.3})
    with pytest.raises(ValueError, match=r"asr_weight 0\.3 needs source texts"):
        main(options(corpus, corpus / "exp"))


def test_ctc_of_the_translation_is_guarded_too(corpus):
    window = {"segmenter": {"criterion": "fixed", "window": 20}}
    write_config(corpus, frontend_conf=window, model_conf={**MODEL, "st_mtlalpha": 0.3})
    with pytest.raises(ValueError, match="CTC: 8 of 8 utterances"):
        main(options(corpus, corpus / "exp"))
