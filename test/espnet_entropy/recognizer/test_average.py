"""Which epochs are averaged, and the mean itself."""

import numpy as np
import pytest
import torch

from espnet_entropy.recognizer.average import average, choose_best

CONFIG = {"best_model_criterion": [["valid", "acc", "max"], ["valid", "loss", "min"]]}


def experiment(tmp_path, values, name="acc"):
    stats = {epoch: {"valid": {name: np.float64(value)}} for epoch, value in values.items()}
    torch.save({"reporter": {"stats": stats}}, tmp_path / "checkpoint.pth")
    rng = np.random.default_rng(0)
    states = {}
    for epoch in values:
        states[epoch] = {
            "w": torch.tensor(rng.normal(size=(3, 2)), dtype=torch.float32),
            "seen": torch.tensor(epoch),
        }
        torch.save(states[epoch], tmp_path / f"{epoch}epoch.pth")
    return states


def test_the_mean_of_the_best(tmp_path):
    states = experiment(tmp_path, {1: 0.1, 2: 0.7, 3: 0.9, 4: 0.3, 5: 0.7})
    choice = choose_best(tmp_path, CONFIG, 3)
    assert choice.record["averaged_epochs"] == [3, 2, 5]
    found = average(choice.files)
    expected = np.mean([states[e]["w"].numpy().astype(np.float64) for e in (3, 2, 5)], axis=0)
    np.testing.assert_array_equal(found["w"].numpy(), expected.astype(np.float32))
    assert found["w"].dtype == torch.float32
    assert found["seen"] == 3  # a counter is that of the best epoch
    assert len(choose_best(tmp_path, CONFIG, 99).files) == 5


def test_the_smallest_loss(tmp_path):
    experiment(tmp_path, {1: 3.0, 2: 1.0, 3: 2.0}, "loss")
    config = {"best_model_criterion": [["valid", "loss", "min"]]}
    assert choose_best(tmp_path, config, 2).record["averaged_epochs"] == [2, 3]


def test_half_precision_becomes_float32(tmp_path):
    torch.save({"w": torch.tensor([1.0, 3.0]).bfloat16()}, tmp_path / "1.pth")
    torch.save({"w": torch.tensor([2.0, 4.0]).bfloat16()}, tmp_path / "2.pth")
    found = average([tmp_path / "1.pth", tmp_path / "2.pth"])["w"]
    assert found.dtype == torch.float32
    assert found.tolist() == [1.5, 3.5]


def test_what_is_missing_is_named(tmp_path):
    experiment(tmp_path, {1: 0.1, 2: 0.7})
    (tmp_path / "1epoch.pth").unlink()
    with pytest.raises(ValueError, match=r"lacks 1epoch.pth.*keep_nbest_models: 2"):
        choose_best(tmp_path, CONFIG, 2)
    with pytest.raises(ValueError, match="n_average"):
        choose_best(tmp_path, CONFIG, 0)
    (tmp_path / "checkpoint.pth").unlink()
    with pytest.raises(ValueError, match=r"no record of valid.acc.*--checkpoint"):
        choose_best(tmp_path, CONFIG, 1)


def test_other_models_do_not_mix(tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "1.pth")
    torch.save({"w": torch.zeros(3)}, tmp_path / "2.pth")
    torch.save({"v": torch.zeros(2)}, tmp_path / "3.pth")
    torch.save({"w": torch.zeros(2), "epoch": 3}, tmp_path / "4.pth")
    for other, why in (("2", "w is not"), ("3", "v is not"), ("4", "epoch is no tensor")):
        with pytest.raises(ValueError, match=why):
            average([tmp_path / "1.pth", tmp_path / f"{other}.pth"])


def test_nothing_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"w": Evil()}, tmp_path / "1.pth")
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        average([tmp_path / "1.pth"])
