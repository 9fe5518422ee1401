"""``tools/bench/bench_scorer.py`` runs: every case of the CPU, at toy size."""

import importlib.util
from pathlib import Path

import pytest
import torch

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.evaluation.cost import entropy_lm_flops

PATH = Path(__file__).resolve().parents[2] / "tools/bench/bench_scorer.py"
spec = importlib.util.spec_from_file_location("bench_scorer", PATH)
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
SIZES = {"num_clusters": 9, "width": 16, "layers": 1, "heads": 2, "ffn": 16, "context": 32}
# compiling is for GPUs; here it would import the compiler for nothing
CASES = {tuple(case[:2]) for cases in bench.CASES.values() for case in cases if not case[2]}


@pytest.mark.parametrize("case", sorted(CASES), ids="-".join)
def test_every_case_runs(case, monkeypatch):
    monkeypatch.setitem(bench.SQUARE, "cpu", 64)
    given = [word for name, value in SIZES.items() for word in (f"--{name}", str(value))]
    given += ["--minutes", "0.5", "--stream_minutes", "0.01", "--device", "cpu", "--parts"]
    args = bench.get_parser().parse_args(given)
    args.case = (*case, False)
    found = bench.measure(args)
    assert found["flops"] > 0
    if case[0] != "ceiling":
        assert found["units"] > 0
        shares = [found[part] for part in (*bench.PARTS, "rest", "idle")]
        assert sum(shares) == pytest.approx(100)
        assert found["products"] > 0
    assert case[1] in bench.line(args.case, found, 2 * found["flops"])
    assert " 50.0%" in bench.line(args.case, found, 2 * found["flops"])


def test_the_model_is_transformers_own():
    lm = EntropyLM(EntropyLMConfig(**SIZES))
    ids, mask = bench.padded([torch.tensor([1, 2, 3]).numpy(), torch.tensor([4]).numpy()], 9, "cpu")
    assert ids.tolist() == [[9, 1, 2], [9, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    logits = bench.transformers_model(lm)(ids, attention_mask=mask).logits
    torch.testing.assert_close(logits[0], lm(ids[:1])[0], atol=1e-5, rtol=1e-5)


def test_flops_are_those_of_the_cost_report_but_for_pairs_that_are_not_seen():
    config = EntropyLMConfig(**SIZES)
    unseen = 4 * 16 * (20 * 20 - 20 * 21 // 2)
    assert bench.model_flops(config, [20]) == entropy_lm_flops(config, 20) - unseen
