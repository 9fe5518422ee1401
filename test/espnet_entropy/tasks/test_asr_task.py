"""The ASR task in this process: settings, refusals, training, and a config.yaml that decodes."""

import argparse
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sounds import babble
from toy_compressor import assemble, make_parts
from toy_training import (
    CONFIG,
    ROOT,
    K,
    calibrate,
    losses,
    make_corpus,
    options,
    write_config,
    write_matrices,
)

from espnet_entropy.bin.asr_train import main
from espnet_entropy.entropy_lm.export import load_checkpoint
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.tasks.asr import UnitASRTask
from espnet_entropy.tasks.ctc import needed

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s
EXAMPLE = ROOT / "egs2/TEMPLATE/asr1/conf/example_two_lines.yaml"


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path)


def config_of(exp):
    return yaml.safe_load((exp / "config.yaml").read_text())


def build(exp, epoch=1):
    """The model as whoever decodes builds it: from config.yaml and weights alone."""
    args = argparse.Namespace(**config_of(exp))
    model = UnitASRTask.build_model(args)
    model.load_state_dict(load_checkpoint(exp / f"{epoch}epoch.pth"), strict=True)
    return model.eval()


# --- settings


def test_two_changed_lines_in_an_espnet_configuration_are_enough(corpus, caplog):
    exp = corpus / "exp"
    words = options(corpus, exp, "--dry_run", "true", "--token_type", "char")
    words[1] = str(EXAMPLE)
    path = calibrate(corpus)
    words += ["--frontend_conf", f"calibration={path}", "--frontend_conf", "criterion=planned"]
    words += ["--frontend_conf", "rate=15", "--model_conf", "ctc_weight=0.3"]
    with caplog.at_level(logging.WARNING):
        main(words)
    config = config_of(exp)
    assert (config["normalize"], config["specaug"]) == (None, None)
    assert config["encoder_conf"] == {"width": 256, "heads": 4, "layers": 4, "dropout": 0.1}
    assert config["frontend_conf"]["asked"] == {"criterion": "planned", "rate": 15.0}
    assert config["frontend_conf"]["segmenter"]["threshold"] > 0
    said = caplog.text
    for what in (
        "normalize: utterance_mvn is set to null",
        "specaug: specaug is set to null",
        "encoder_conf: output_size 256 is width of this encoder",
        "encoder_conf: input_layer conv2d has no meaning for this encoder: dropped",
        "frontend_conf: n_fft 512 has no meaning for units: dropped",
    ):
        assert what in said
    model = UnitASRTask.build_model(argparse.Namespace(**config))
    assert model.encoder.core.config.layers == 4
    caplog.clear()
    UnitASRTask.build_model(argparse.Namespace(**config))
    assert "set to null" not in caplog.text  # config.yaml says it already


def test_a_dump_of_another_model_is_refused(corpus):
    for name, part in (("train", "entropy_lm"), ("valid", "tokenizer")):
        meta = yaml.safe_load((corpus / f"dump/{name}/meta.yaml").read_text())
        changed = yaml.safe_dump(meta | {part: "other"})
        (corpus / f"dump/{name}/meta.yaml").write_text(changed)
        with pytest.raises(
            ValueError, match=rf"valid/meta\.yaml: made with {part} .*, but .*train"
        ):
            main(options(corpus, corpus / "exp"))
        (corpus / f"dump/{name}/meta.yaml").write_text(yaml.safe_dump(meta))
    (corpus / "dump/valid/meta.yaml").unlink()
    with pytest.raises(ValueError, match=r"valid/meta\.yaml: no such file"):
        main(options(corpus, corpus / "exp"))


# --- CTC


def test_ctc_where_most_texts_are_longer_than_their_groups_is_refused(corpus):
    window = {"segmenter": {"criterion": "fixed", "window": 20}}
    write_config(corpus, frontend_conf=window, model_conf={"ctc_weight": 0.3})
    with pytest.raises(ValueError, match=r"CTC: 8 of 8 utterances .*ctc_weight: 0\.0"):
        main(options(corpus, corpus / "exp"))


def test_ctc_goes_on_where_some_texts_are_and_says_how_many(corpus, caplog):
    text = (corpus / "text/train").read_text().splitlines()
    long = text[0].split()[0] + " " + "aabb" * 10
    (corpus / "text/train").write_text("\n".join([long, *text[1:]]) + "\n")
    write_config(
        corpus,
        frontend_conf={"criterion": "original"},
        model_conf={"ctc_weight": 0.3},
    )
    with caplog.at_level(logging.WARNING):
        main(options(corpus, corpus / "exp"))
    assert "CTC: 1 of 8 utterances looked at (train0, say) have fewer groups" in caplog.text
    assert "CTC: 1 of 4 utterances so far have fewer groups" in caplog.text or (
        "CTC: 1 of 8 utterances so far have fewer groups" in caplog.text
    )
    assert "CTC: 2 of " in caplog.text  # the second epoch; counted at 1, 2, 4, …
    assert np.isfinite(list(losses(corpus / "exp", "loss_ctc").values())).all()


def test_needed_groups_are_those_of_torchs_ctc():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tokens = rng.integers(1, 3, size=rng.integers(1, 6))
        for groups in range(1, 12):
            loss = torch.nn.functional.ctc_loss(
                torch.zeros(groups, 1, 3).log_softmax(2),
                torch.tensor(tokens)[None],
                torch.tensor([groups]),
                torch.tensor([len(tokens)]),
            )
            assert bool(torch.isfinite(loss)) == (groups >= needed(tokens))


# --- training


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frontend_conf": {"criterion": "original"}},
        {"encoder": "unit_pooling", "encoder_conf": {"width": 32, "context": "conformer",
         "context_conf": {"num_blocks": 1, "linear_units": 32, "attention_heads": 2,
                          "dropout_rate": 0.0, "positional_dropout_rate": 0.0}}},
        {"frontend_conf": {"criterion": "unit_bpe", "unit_bpe": "BPE"}},
    ],
    ids=["cale", "original", "pooling_conformer", "unit_bpe"],
)  # fmt: skip
def test_eight_utterances_are_learned_by_heart(corpus, changes):
    if "BPE" in str(changes):
        UnitBPE.train(corpus / "dump/train", 40, corpus / "bpe")
        path = str(corpus / "bpe/unit_bpe.model")
        changes = {"frontend_conf": {"criterion": "unit_bpe", "unit_bpe": path}}
    # the constant rate of the other tests stays noisy around 0.2
    schedule = {"warmup_steps": 40, "total_steps": 360, "floor_ratio": 0.02}
    changes |= {"scheduler": "warmupcosinelr", "scheduler_conf": schedule}
    changes |= {"optim_conf": {"lr": 3.0e-3}}
    changes |= {"decoder_conf": {**CONFIG["decoder_conf"], "num_blocks": 2, "linear_units": 64}}
    write_config(corpus, num_iters_per_epoch=60, max_epoch=6, batch_size=8, **changes)
    main(options(corpus, corpus / "exp", valid="train"))
    found = losses(corpus / "exp")
    assert found[6][1] < 0.05 < found[1][0]  # nats per token, of at most ln 8 = 2.1
    assert losses(corpus / "exp", "acc")[6][1] == 1.0


def test_a_seed_decides_everything(corpus):
    conf = {**CONFIG["encoder_conf"], "dropout": 0.1}
    conf |= {"mask_units": {"share": 0.1, "max_width": 3}, "replace_units": 0.05}
    write_config(corpus, encoder_conf=conf)
    for exp in ("a", "b"):
        main(options(corpus, corpus / exp))
    main(options(corpus, corpus / "c", "--seed", "2"))
    assert losses(corpus / "a") == losses(corpus / "b") != losses(corpus / "c")


# --- config.yaml and the waveform


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained for an epoch on the dump of a real small model directory, and its audio."""
    root = tmp_path_factory.mktemp("trained")
    make_parts(root)
    model = assemble(root)
    from espnet_entropy.compressor import Compressor

    compressor = Compressor.from_pretrained(model)
    wavs = {f"train{i}": babble(i, 1.5 + 0.3 * i) for i in range(4)}
    matrices = {}
    for utt, wav in wavs.items():
        speech = compressor(wav)
        matrices[utt] = np.stack([speech.units, speech.entropy], 1)
    make_corpus(root)
    meta = {"tokenizer": compressor.tokenizer.fingerprint, "num_clusters": K}
    meta |= {"entropy_lm": compressor.lm.fingerprint}
    write_matrices(root / "dump/train", matrices, meta)
    write_config(root, frontend_conf={"model": str(model)}, max_epoch=1)
    main(options(root, root / "exp", valid="train"))
    return root, wavs, matrices


def encode(model, inputs):
    out, lengths = [], []
    for values in inputs:
        speech = torch.as_tensor(np.asarray(values), dtype=torch.float32)[None]
        with torch.no_grad():
            vectors, n = model.encode(speech, torch.tensor([speech.shape[1]]))
        out.append(vectors[0])
        lengths.append(int(n))
    return out, lengths


def test_a_checkpoint_holds_neither_tokenizer_nor_entropy_lm(trained):
    names = load_checkpoint(trained[0] / "exp/1epoch.pth")
    assert {name.split(".")[0] for name in names} == {"encoder", "decoder"}


def test_waveform_and_dump_give_the_same_and_the_dump_needs_config_yaml_alone(trained, tmp_path):
    root, wavs, matrices = trained
    model = build(root / "exp")
    from_dump = encode(model, matrices.values())
    from_wav = encode(model, wavs.values())
    assert from_dump[1] == from_wav[1]
    for one, other in zip(from_dump[0], from_wav[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)

    moved = tmp_path / "exp"
    shutil.copytree(root / "exp", moved, symlinks=True)
    config = config_of(moved)
    config["frontend_conf"]["model"] = "/gone/by/now"
    (moved / "config.yaml").write_text(yaml.safe_dump(config))
    alone = build(moved)
    for one, other in zip(encode(alone, matrices.values())[0], from_dump[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    with pytest.raises(ValueError, match="/gone/by/now: no such model directory"):
        encode(alone, wavs.values())


def test_training_from_waveforms_needs_the_model_directory_only(trained, tmp_path):
    import soundfile

    root, wavs, _ = trained
    lines = []
    for utt, wav in wavs.items():
        soundfile.write(tmp_path / f"{utt}.wav", wav, 16000, subtype="FLOAT")
        lines.append(f"{utt} {tmp_path / utt}.wav\n")
    (tmp_path / "wav.scp").write_text("".join(lines))
    (tmp_path / "shape").write_text("".join(f"{u} {len(w)}\n" for u, w in wavs.items()))
    words = options(root, tmp_path / "exp", valid="train")
    for i, word in enumerate(words):
        if word.endswith(",speech,scored"):
            words[i] = f"{tmp_path}/wav.scp,speech,sound"
        elif word.endswith("speech_shape"):
            words[i] = str(tmp_path / "shape")
    main(words)
    assert losses(tmp_path / "exp")[1] == pytest.approx(losses(root / "exp")[1], rel=1e-5)


def test_espnets_own_command_knows_our_names_once_we_are_imported():
    from espnet2.tasks.asr import ASRTask

    parser = ASRTask.get_parser()
    args = parser.parse_args(["--frontend", "units", "--encoder", "unit_pooling"])
    assert (args.frontend, args.encoder) == ("units", "unit_pooling")
    assert Path(EXAMPLE).is_file()
