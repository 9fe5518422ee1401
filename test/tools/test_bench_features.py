"""``tools/bench/bench_features.py`` runs: every case of the CPU, at toy size."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from small_speech_model import SIZES

PATH = Path(__file__).resolve().parents[2] / "tools/bench/bench_features.py"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The script, its folder prepared: three utterances and a toy HuBERT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        spec = importlib.util.spec_from_file_location("bench_features", PATH)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        folder = tmp_path_factory.mktemp("bench")
        wavs = module.make_data(folder / "data", 0.4)
        module.make_tokenizer(folder, "cpu", wavs, **SIZES)
        patch.setitem(module.SQUARE, "cpu", 64)
        patch.setitem(module.TIMES, "cpu", 2)
        module.FOLDER = folder
        yield module


def test_every_case_runs(bench):
    for case in bench.CASES["cpu"]:
        given = ["--device", "cpu", "--tokenizer", str(bench.FOLDER / "tokenizer")]
        args = bench.get_parser().parse_args([*given, "--folder", str(bench.FOLDER)])
        args.case = case
        found = bench.measure(args)
        assert found.get("rate", 1) > 0
        if case[0] in ("alone", "ours"):
            assert found["equal"] == 1.0
        if case[0] == "plain":
            assert found["equal"] > 0.99
        if case[0] == "padded":  # the group norm sees padding there
            assert found["equal"] < 0.99
        if case[0] == "ours":
            assert found["moved"] == found["again"] == 0.0
        row = bench.line(case, found, 2 * found.get("flops", 1))
        assert case[0] in row
        assert (" 50.0" in row) == ("flops" in found)


def test_agreement_is_a_share_of_units(bench, tmp_path):
    units = {"a": np.array([1, 2, 3]), "b": np.array([4])}
    path = tmp_path / "alone.npz"
    assert bench.agreement(path, ("alone", "float32", False), units) == 1.0
    other = {"a-000": np.array([1, 2, 0]), "a-001": np.array([1, 0, 0]), "b-000": np.array([4])}
    assert bench.agreement(path, ("ours", "bfloat16", False), other) == 4 / 7
