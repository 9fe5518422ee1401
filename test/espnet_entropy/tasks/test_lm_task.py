"""The LM task through the real command, and our classes as ESPnet sees them (one process)."""

import math
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import toy_lm_training
import toy_training
from toy_lm_training import K
from toy_training import losses

from espnet_entropy.bin.export_entropy_lm import main as export
from espnet_entropy.entropy_lm.export import load_checkpoint
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.packing import pack_units

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s
ROOT = Path(__file__).resolve().parents[3]
PLACES = ("egs2/*", "tools/recipe_template/units1/egs2/*")
CONFIGS = [path for p in PLACES for path in sorted(ROOT.glob(f"{p}/units1/conf/train_entropy_lm*"))]


@pytest.fixture
def recipe(tmp_path) -> Path:
    """Packed units and a configuration."""
    toy_lm_training.make_units(tmp_path / "units")
    for name in ("train", "valid"):
        units = tmp_path / "units" / name / "units.scp"
        pack_units(units, tmp_path / "packed" / name, context=32)
    (tmp_path / "train.yaml").write_text(toy_lm_training.CONFIG)
    return tmp_path


def options(recipe: Path, exp: Path, *more: str) -> list[str]:
    return toy_lm_training.options(recipe / "train.yaml", recipe / "packed", exp, *more)


def start(recipe: Path, exp: Path, *more: str) -> subprocess.Popen[bytes]:
    return toy_training.start("lm_train", exp, options(recipe, exp, *more))


def later_epochs(exp: Path) -> list[Path]:
    """Models of epochs after the first; ESPnet removes all but the best and the last."""
    return [path for path in exp.glob("*epoch.pth") if path.name != "1epoch.pth"]


def test_training_resumes_after_sigkill(recipe):
    whole, killed = recipe / "whole", recipe / "killed"
    # the same length of training, so that the kill comes before its end
    undisturbed, process = start(recipe, whole), start(recipe, killed)
    while process.poll() is None and not later_epochs(killed):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert undisturbed.wait() == 0, (whole / "log").read_text()[-3000:]
    assert not (killed / "12epoch.pth").exists(), "too fast to be killed"
    assert start(recipe, killed).wait() == 0, (killed / "log").read_text()[-3000:]
    assert "The training was resumed" in (killed / "log").read_text()
    assert losses(killed) == losses(whole)
    assert losses(whole)[4][1] < losses(whole)[1][1] < math.log(K + 1) + 0.1

    export(["--exp", str(killed), "--out", str(killed / "export")])
    export(["--exp", str(whole), "--out", str(whole / "export")])
    first, second = (EntropyLM.from_pretrained(exp / "export") for exp in (whole, killed))
    assert first.fingerprint == second.fingerprint
    assert first.tokenizer == "tok"


def test_training_goes_on_with_another_number_of_processes(recipe):
    """Two that are killed in an epoch, two, one, two; as two that nobody disturbed."""
    whole, changed = recipe / "whole", recipe / "changed"

    def end(processes, exp):
        for process in processes:
            process.join()
        ended = [process.exitcode for process in processes]
        assert ended == [0] * len(processes), (exp / "log.0").read_text()[-3000:]

    undisturbed = toy_lm_training.fork(2, whole, options(recipe, whole))
    killed = toy_lm_training.fork(2, changed, options(recipe, changed))
    while not later_epochs(changed):
        assert all(process.is_alive() for process in killed)
        time.sleep(0.001)
    for process in killed:
        process.kill()
        process.join()
    assert not (changed / "12epoch.pth").exists(), "too fast to be killed"
    end(undisturbed, whole)
    for world, last in ((2, 6), (1, 9), (2, 12)):
        words = options(recipe, changed, "--max_epoch", str(last))
        end(toy_lm_training.fork(world, changed, words), changed)

    assert losses(changed).keys() == losses(whole).keys() == set(range(1, 13))
    updates = [load_checkpoint(e / "checkpoint.pth")["schedulers"][0] for e in (changed, whole)]
    assert updates[0] == updates[1]  # nothing was trained twice, or left out
    # Measured: 0 and 1.1e-7. A batch is split among the processes, their gradients are averaged
    # (without that: 3e-3), and its order depends on the epoch alone
    for epoch, values in losses(whole).items():
        assert losses(changed)[epoch] == pytest.approx(values, rel=1e-5 if epoch <= 6 else 1e-4)
    log = (changed / "log.0").read_text()
    assert log.count("The training was resumed") == 3
    assert ":0/2]" in log  # rank 0 of 2 in ESPnet's log lines
    assert "7/9epoch started" in log
    assert "10/12epoch started" in log


def test_a_checkpoint_is_whole_or_absent(tmp_path):
    import torch

    from espnet_entropy.tasks.checkpoints import atomic_checkpoints

    class Bomb:
        def __reduce__(self):
            raise KeyboardInterrupt  # a kill in the middle of writing

    path, plain = tmp_path / "checkpoint.pth", torch.save
    state = {"reporter": {"epoch": 1, "stats": {}}, "model": {"w": torch.ones(1000)}}
    with atomic_checkpoints():
        torch.save(state, path)
        assert load_checkpoint(tmp_path / "1epoch.pth")["w"].sum() == 1000
        with pytest.raises(KeyboardInterrupt):
            torch.save({"a": torch.ones(1000), "b": Bomb()}, path)
    assert torch.save is plain
    assert load_checkpoint(path)["reporter"]["epoch"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1epoch.pth", "checkpoint.pth"]


def test_espnets_model_gives_the_nll_of_every_target():
    import torch
    import torch.nn.functional as F
    from espnet2.lm.espnet_model import ESPnetLanguageModel

    from espnet_entropy.tasks.lm import ESPnetEntropyLM

    torch.manual_seed(0)
    lm = ESPnetEntropyLM(K + 1, width=16, layers=1, heads=2, ffn=16, context=32)
    model = ESPnetLanguageModel(lm, K + 1)
    text = torch.tensor([[0, 1, K, 2, 3, 4], [4, 0, 1, 0, 0, 0]])
    nll, lengths = model.nll(text, torch.tensor([6, 3]))
    assert lengths.tolist() == [7, 4]
    wanted = []
    for line in ([0, 1, K, 2, 3, 4], [4, 0, 1]):
        x, t = torch.tensor([[K, *line]]), torch.tensor([*line, K])
        wanted.append(F.cross_entropy(lm.lm(x)[0], t, reduction="none"))
    torch.testing.assert_close(nll[0], wanted[0])
    torch.testing.assert_close(nll[1, :4], wanted[1])
    assert (nll[1, 4:] == 0).all()
    loss, stats, weight = model(text, torch.tensor([6, 3]))
    assert loss.item() == pytest.approx(torch.cat(wanted).mean().item(), abs=1e-5)
    assert (weight.item(), torch.isfinite(stats["loss"]).item()) == (11, True)


def test_lines_packed_for_another_lm_are_refused_before_training(recipe):
    from espnet_entropy.bin.lm_train import main

    for conf, found in (("dedup=true", "dedup False"), ("context=64", "context 32")):
        with pytest.raises(ValueError, match=rf"train.meta\.yaml: .* packed with {found}"):
            main(options(recipe, recipe / "exp", "--lm_conf", conf))


def test_compiled_or_not_a_checkpoint_has_the_same_names():
    from espnet_entropy.tasks.lm import ESPnetEntropyLM

    sizes = {"width": 16, "layers": 1, "heads": 2, "ffn": 16, "context": 32}
    plain, compiled = (ESPnetEntropyLM(K + 1, **sizes, compile=c) for c in (False, True))
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert compiled.lm.config == plain.lm.config


def test_wrong_lm_conf_is_named():
    from espnet_entropy.tasks.lm import ESPnetEntropyLM

    with pytest.raises(ValueError, match="unknown key 'hidden_size'"):
        ESPnetEntropyLM(K + 1, hidden_size=16)
    with pytest.raises(ValueError, match="token list has 5 units"):
        ESPnetEntropyLM(K + 1, num_clusters=K + 1)


def test_the_schedule_warms_up_falls_and_stays():
    import torch

    from espnet_entropy.tasks.schedulers import WarmupCosineLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = WarmupCosineLR(optimizer, warmup_steps=10, total_steps=110, floor_ratio=0.1)
    rates = []
    for _ in range(130):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 0.2)
    assert rates[59] == pytest.approx(2.0 * (0.1 + 0.9 / 2))  # half-way: update 60
    assert (np.diff(rates[9:110]) < 0).all()
    np.testing.assert_allclose(rates[109:], 0.2)
    with pytest.raises(ValueError, match="warmup_steps < total_steps"):
        WarmupCosineLR(optimizer, 10, 10)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.parts[-4]}-{c.stem}")
def test_recipe_configurations_build(config, recipe):
    import torch

    from espnet_entropy.tasks.lm import EntropyLMTask, lm_choices
    from espnet_entropy.tasks.schedulers import scheduler_classes

    made = options(recipe, recipe / "exp")
    made[1] = str(config)
    args = EntropyLMTask.get_parser().parse_args(made)
    assert not args.use_preprocessor
    assert {c.strip() for c in args.best_model_criterion[0]} == {"valid", "loss", "min"}
    with torch.device("meta"):
        lm = lm_choices.get_class(args.lm)(vocab_size=501, **args.lm_conf)
    optimizer = torch.optim.AdamW(lm.parameters(), **args.optim_conf)
    scheduler_classes[args.scheduler](optimizer, **args.scheduler_conf)
    assert args.optim == "adamw"


@pytest.mark.parametrize("more", [[], ["--num_iters_per_epoch", "4"], ["--num_workers", "1"]])
def test_a_large_corpus_is_read_in_the_same_batches(recipe, monkeypatch, more):
    from espnet2.train.distributed_utils import DistributedOption

    from espnet_entropy.tasks.lm import EntropyLMTask
    from espnet_entropy.utils import scp

    args = EntropyLMTask.get_parser().parse_args(options(recipe, recipe / "exp", *more))
    args.token_list = (recipe / "packed/train/tokens.txt").read_text().split()
    found = []
    for large in (1 << 20, 0):
        monkeypatch.setattr(scp, "LARGE", large)
        made = EntropyLMTask.build_iter_factory(args, DistributedOption(), "train")
        read = [batch for epoch in (1, 2, 3) for batch in made.build_iter(epoch)]
        found.append([(keys, batch["text"].tolist()) for keys, batch in read])
    assert type(made.sampler).__name__ == "LeanSampler"
    assert found[0] == found[1]
    assert [keys for keys, _ in found[0][:3]] != [keys for keys, _ in found[0][3:6]]
