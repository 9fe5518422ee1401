"""ESPnet's files -> a model directory, without espnet2; what does not fit is refused."""

import os
from pathlib import Path

import pytest
import torch
import yaml

from espnet_entropy.bin import export_entropy_lm as command
from espnet_entropy.entropy_lm.config import EntropyLMConfig, read_card
from espnet_entropy.entropy_lm.model import EntropyLM

K = 6
CONF = {"width": 16, "layers": 1, "heads": 2, "ffn": 16, "context": 32, "dedup": True}


@pytest.fixture
def exp(tmp_path) -> Path:
    """What ESPnet leaves behind after two epochs."""
    torch.manual_seed(0)
    model = EntropyLM(EntropyLMConfig(K, **CONF))
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "meta.yaml").write_text(
        f"tokenizer: tok\nnum_clusters: {K}\ncontext: 32\ndedup: true\nunits: 1000\n"
    )
    (tmp_path / "units.yaml").write_text(f"tokenizer: tok\nnum_clusters: {K}\n")
    exp = tmp_path / "exp"
    exp.mkdir()
    config = {
        "lm": "entropy_lm",
        "lm_conf": CONF,
        "token_list": [*map(str, range(K)), "<sos/eos>"],
        "train_data_path_and_name_and_type": [[str(packed / "packed.scp"), "text", "kaldi_ark"]],
    }
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    state = {f"lm.lm.{name}": weight for name, weight in model.state_dict().items()}
    torch.save(state, exp / "valid.loss.best.pth")
    stats = {e: {"train": {"loss": 3.0}, "valid": {"loss": v}} for e, v in ((1, 2.0), (2, 2.5))}
    torch.save({"reporter": {"stats": stats, "epoch": 2}}, exp / "checkpoint.pth")
    return exp


def run(exp: Path, *more: str) -> None:
    command.main(["--exp", str(exp), "--out", str(exp / "export"), *more])


def test_export_holds_the_weights_and_their_story(exp):
    run(exp, "--units_meta", str(exp.parent / "units.yaml"))
    model = EntropyLM.from_pretrained(exp / "export")
    state = torch.load(exp / "valid.loss.best.pth", weights_only=True)
    assert torch.equal(model.head.weight, state["lm.lm.head.weight"])
    assert model.tokenizer == "tok"
    assert model.config.dedup
    training = read_card(exp / "export").training
    assert (training["best_epoch"], training["valid_nll"]) == (1, 2.0)
    assert training["valid_perplexity"] == pytest.approx(7.389)
    assert training["parameters"] == model.num_parameters()


@pytest.mark.parametrize(("key", "value"), [("context", 64), ("dedup", False)])
def test_lines_packed_for_another_lm_are_refused(exp, key, value):
    meta = exp.parent / "packed/meta.yaml"
    meta.write_text(yaml.safe_dump(yaml.safe_load(meta.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=rf"meta.yaml: .* with {key} {value}, but .*config.yaml"):
        run(exp)


def test_without_the_training_state_it_still_exports(exp):
    (exp / "checkpoint.pth").unlink()
    run(exp)
    assert "valid_nll" not in read_card(exp / "export").training


def test_units_of_another_tokenizer_are_refused(exp):
    (exp.parent / "units.yaml").write_text(f"tokenizer: other\nnum_clusters: {K}\n")
    with pytest.raises(ValueError, match="trained on tok with 6"):
        run(exp, "--units_meta", str(exp.parent / "units.yaml"))


class Payload:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_checkpoint_that_would_run_code_is_refused(exp, tmp_path):
    torch.save({"lm.lm.head.weight": Payload(tmp_path / "trace")}, exp / "valid.loss.best.pth")
    with pytest.raises(ValueError, match="would run code"):
        run(exp)
    assert not (tmp_path / "trace").exists()


def test_wrong_checkpoints_are_named(exp):
    best = exp / "valid.loss.best.pth"
    state = torch.load(best, weights_only=True)
    torch.save(state | {"lm.extra": torch.zeros(1)}, best)
    with pytest.raises(ValueError, match=r"0 missing \(\), 1 unexpected \(lm\.extra\)"):
        run(exp)
    torch.save({k: v for k, v in state.items() if "norm.weight" not in k}, best)
    with pytest.raises(ValueError, match=r"3 missing .*input_layernorm"):
        run(exp)
    best.write_bytes(best.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        run(exp)
    best.unlink()
    with pytest.raises(ValueError, match="no such checkpoint"):
        run(exp)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train_data_path_and_name_and_type", None, "train_data_path_and_name_and_type.0.0' .str"),
        ("train_data_path_and_name_and_type", [], "train_data_path_and_name_and_type.0.0' .str"),
        ("train_data_path_and_name_and_type", "x", "train_data_path_and_name_and_type.0.0' .str"),
        ("token_list", None, "'token_list' .list., got none"),
        ("token_list", "tokens.txt", "'token_list' .list., got str"),
    ],
)
def test_keys_that_the_configuration_lacks_are_named(exp, key, value, message):
    config = yaml.safe_load((exp / "config.yaml").read_text())
    config.pop(key)
    config |= {} if value is None else {key: value}
    (exp / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=f"config.yaml: expected .*{message}"):
        run(exp)


@pytest.mark.parametrize("content", [{"model": {}}, {"reporter": {"epoch": 1}}, {"reporter": 3}])
def test_a_training_state_without_losses_is_named(exp, content):
    torch.save(content, exp / "checkpoint.pth")
    with pytest.raises(ValueError, match=r"checkpoint.pth: expected 'reporter.stats' .dict."):
        run(exp)


def test_another_kind_of_lm_is_refused(exp):
    (exp / "config.yaml").write_text(
        (exp / "config.yaml").read_text().replace("entropy_lm", "transformer")
    )
    with pytest.raises(ValueError, match="expected 'lm: entropy_lm', got 'transformer'"):
        run(exp)
