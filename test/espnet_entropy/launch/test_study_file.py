"""A study as the rows of a sweep."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from espnet_entropy.bin import study_asr
from espnet_entropy.launch.study_file import Study, study_rows
from espnet_entropy.launch.sweep_file import load_sweep
from espnet_entropy.utils.config import from_dict

CONTENT = {
    "title": "A study",
    "systems": {
        "uniform": {"label": "Uniform", "criterion": "uniform"},
        "m1": {"criterion": "global"},
        "m2": {"criterion": "relative"},
    },
    "compared": ["m1"],
    "against": "uniform",
    "base": {"name": "base", "units": "good", "rate": 15, "train": {"encoder_conf": {"conv": 5}}},
    "units": {
        "good": {"tokenizer": {"features": "phones"}},
        "bad": {"tokenizer": {"features": "mfcc"}, "options": {"data_opts": "--option a=b c"}},
    },
    "factors": [
        {"name": "units", "levels": [{"name": "good"}, {"name": "bad", "units": "bad"}]},
        {"name": "rate", "levels": [{"name": "7", "x": 7, "rate": 7}, {"name": "15", "x": 15}]},
        {
            "name": "order",
            "systems": ["m1", "m2"],
            "levels": [
                {"name": "none", "train": {"encoder_conf": {"conv": 0}}},
                {"name": "conv", "options": {"bpe_size": 300}},
            ],
        },
    ],
}


def changed(**changes):
    return from_dict(Study, {**CONTENT, **changes}, "study")


def test_every_level_has_every_system_and_equal_ones_are_one_row():
    sweep, cells = study_rows(changed())
    assert list(cells) == [
        *[("units", level, s) for level in ("good", "bad") for s in ("uniform", "m1")],
        *[("rate", level, s) for level in ("7", "15") for s in ("uniform", "m1")],
        *[("order", level, s) for level in ("none", "conv") for s in ("uniform", "m1", "m2")],
    ]
    assert cells["rate", "15", "m1"] == cells["units", "good", "m1"]
    assert cells["rate", "15", "m1"].startswith("good-m1-15-")
    assert len(sweep.rows) == len(set(cells.values())) == 14 - 2
    assert [row.name for row in sweep.rows] == list(dict.fromkeys(cells.values()))


def test_what_a_row_is_called_changes_with_what_it_is():
    """So that a report never shows results of another study file as its own."""
    _, cells = study_rows(changed())
    base = {**CONTENT["base"], "train": {"encoder_conf": {"conv": 3}}}
    _, others = study_rows(changed(base=base))
    _, renamed = study_rows(changed(title="Another", against="m1"))
    assert cells["rate", "7", "m1"] == renamed["rate", "7", "m1"]
    assert cells["order", "none", "m1"] == others["order", "none", "m1"]  # it says conv itself
    assert not {cells["rate", "7", "m1"], cells["units", "bad", "m1"]} & set(others.values())


def test_a_row_says_all_that_a_level_changes():
    sweep, cells = study_rows(changed())
    rows = {row.name: row for row in sweep.rows}
    row = rows[cells["order", "conv", "m2"]]
    assert row.options == {"units": "exp/units1_good", "bpe_size": 300}
    assert row.train == {
        "encoder_conf": {"conv": 5},
        "frontend_conf": {"criterion": "relative", "rate": 15.0},
    }
    assert rows[cells["order", "none", "m2"]].train["encoder_conf"] == {"conv": 0}
    assert rows[cells["rate", "7", "uniform"]].train["frontend_conf"]["rate"] == 7.0
    assert rows[cells["units", "bad", "m1"]].options == {"units": "exp/units1_bad"}


def test_the_sweep_and_the_recipes_of_units_are_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(CONTENT))
    Path("data.sh").write_text('#!/bin/sh\npwd\nprintf "%s|" "$@"\n')
    Path("data.sh").chmod(0o755)
    call = ["--study", "study.yaml", "--write", "exp/study.yaml", "--data", "data.sh"]
    call += ["--units_args", "--sets 'a b'"]
    study_asr.main(call)
    assert load_sweep("exp/study.yaml") == study_rows(changed())[0]
    folder = tmp_path / "exp/units1_bad"
    assert yaml.safe_load((folder / "conf/tokenizer.yaml").read_text()) == {"features": "mfcc"}
    # the recipe calls the driver, with its own options and the user's as words
    (driver,) = re.findall(r"^\S+/units1/units\.sh", (folder / "run.sh").read_text(), re.MULTILINE)
    study = Path("/egs2/mini_synth/study1")  # where a study is, its recipes are below it
    assert os.path.normpath(study / "exp/units1_bad" / driver) == "/egs2/TEMPLATE/units1/units.sh"
    text = (folder / "run.sh").read_text().replace(driver, "echo")
    (folder / "run.sh").write_text(text)
    said = subprocess.run([folder / "run.sh", "--nj", "1"], capture_output=True, text=True)
    assert said.stdout == "--sets a b --data_opts --option a=b c --nj 1\n"
    made = subprocess.run(
        [folder / "local/data.sh", "--x", "y z"], capture_output=True, text=True, cwd=folder
    )
    assert made.stdout == f"{folder}\n--x|y z|"
    study_asr.main(call)  # what was changed there is made again
    assert "TEMPLATE" in (folder / "run.sh").read_text()


def test_a_study_that_names_something_unknown_is_refused():
    with pytest.raises(ValueError, match=r"units 'god'.*Did you mean 'good'"):
        changed(base={"name": "base", "units": "god", "rate": 15})
    with pytest.raises(ValueError, match=r"'unifrm'.*Did you mean 'uniform'"):
        changed(against="unifrm")
    with pytest.raises(ValueError, match="Did you mean 'm1'"):
        changed(compared=["m11"])
    with pytest.raises(ValueError, match="rate: expected groups per second, got None"):
        changed(base={"name": "base", "units": "good"})
    twice = {"name": "rate", "levels": [{"name": "a"}, {"name": "a"}]}
    with pytest.raises(ValueError, match="level 'a' is listed twice"):
        changed(factors=[twice])
    half = {"name": "rate", "levels": [{"name": "a", "x": 1}, {"name": "b"}]}
    with pytest.raises(ValueError, match="give x for all levels or for none"):
        changed(factors=[half])
    same = {"name": "rate", "levels": [{"name": "a"}]}
    with pytest.raises(ValueError, match="'rate' is listed twice"):
        changed(factors=[same, same])
