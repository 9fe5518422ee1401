"""Steps from FLOPs, and what was measured once."""

import dataclasses
import json
import sys

import pytest

from espnet_entropy.launch import sweep_budget
from espnet_entropy.launch.sweep_budget import (
    Cost,
    describe_budget,
    measure_costs,
    same_flops,
    with_iterations,
)

COST = Cost(flops=3e9, batches=70, iterations=70, epochs=10, accum_grad=2, parameters=5)


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0, 1.7, 20.0])
def test_the_budget_is_met_to_half_an_iteration_an_epoch(share):
    other = dataclasses.replace(COST, flops=share * COST.flops)
    iterations = same_flops(other, COST)
    total = other.flops * iterations * other.epochs
    wanted = COST.flops * COST.iterations * COST.epochs
    assert abs(total - wanted) <= other.flops * other.epochs / 2
    said = describe_budget("flops", iterations, other, COST)
    assert said["flops_over_reference"] == pytest.approx(total / wanted)
    assert said["steps"] == iterations * 10 // 2
    assert said["flops_per_step"] == 2 * other.flops


def test_the_reference_stays_as_it_is():
    assert same_flops(COST, COST) == COST.iterations
    conf = {"warmup_steps": 100, "total_steps": 350, "floor_ratio": 0.1}
    fixed = with_iterations({"scheduler_conf": conf, "max_epoch": 10}, 70, COST)
    assert fixed["scheduler_conf"] == conf
    assert fixed["max_epoch"] == 10


def test_another_number_of_epochs_in_a_row_is_no_other_budget():
    longer = dataclasses.replace(COST, epochs=20)
    assert same_flops(longer, COST) == COST.iterations // 2


def test_no_cost_is_none():
    with pytest.raises(ValueError, match="flops: expected above 0, got 0"):
        dataclasses.replace(COST, flops=0.0)


def test_a_row_is_measured_again_only_if_something_changed(tmp_path, monkeypatch):
    measured = []

    def fake(folder, names, arguments):
        measured.append(list(names))
        return {name: dataclasses.asdict(COST) for name in names}

    monkeypatch.setattr(sweep_budget, "_measure", fake)
    shapes = tmp_path / "speech_shape"
    shapes.write_text("u1 5,2\n")
    rows = {"a": {"x": 1}, "b": {"x": 2}}

    def costs(arguments=("--token_type", "char")):
        return measure_costs(rows, arguments, [shapes], tmp_path / "flops")

    assert costs() == {"a": COST, "b": COST} == costs()
    rows["b"] = {"x": 3}
    costs()
    shapes.write_text("u1 6,2\n")
    costs()
    costs(("--token_type", "bpe"))
    assert measured == [["a", "b"], ["b"], ["a", "b"], ["a", "b"]]
    rows["b"] = {"x": 4}
    arguments = (["--token_type", "bpe"], [shapes], tmp_path / "flops")
    assert measure_costs(rows, *arguments, known_only=True) == {"a": COST}
    assert len(measured) == 4
    with pytest.raises(ValueError, match="missing, and it decides a row's FLOPs"):
        measure_costs(rows, [], [tmp_path / "none"], tmp_path / "flops")
    assert json.loads((tmp_path / "flops/a.json").read_text())["cost"]["batches"] == 70


def test_measuring_that_fails_shows_why(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no such option >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ValueError, match=r"(?s)exit status 2.*measure\.log, .*\nno such option"):
        measure_costs({"a": {}}, [], [], tmp_path)
