"""A study's tables and pictures, from scores made here."""

import json

import pytest
import yaml
from scored_asr import score

from espnet_entropy.bin import study_asr
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.launch.study_file import Study, study_rows
from espnet_entropy.utils.config import from_dict

STUDY = {
    "title": "A study",
    "systems": {
        "uniform": {"label": "Uniform", "criterion": "uniform"},
        "m1": {"label": "M1", "criterion": "global"},
    },
    "compared": ["m1"],
    "against": "uniform",
    "base": {"name": "base", "units": "good", "rate": 15},
    "units": {"good": {"tokenizer": {"features": "phones"}}},
    "factors": [
        {"name": "rate", "levels": [{"name": "15", "x": 15}, {"name": "7", "x": 7, "rate": 7}]},
        {
            "name": "time",
            "levels": [
                {"name": "none", "train": {"encoder_conf": {"time": "none"}}},
                {"name": "base", "label": "as it is"},
            ],
        },
    ],
}


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Two seeds of the base and of 7 Hz: M1 is worse at 15, better at 7. 'none' was not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    _, cells = study_rows(from_dict(Study, STUDY, "study"))
    for level, system, rate in (
        ("15", "uniform", 0.1),
        ("15", "m1", 0.4),
        ("7", "uniform", 0.4),
        ("7", "m1", 0.1),
    ):
        for seed in (1, 2):
            out = tmp_path / "exp/sweep/study" / cells["rate", level, system] / f"seed{seed}"
            meta = {"achieved_rate": float(level), "parameters": 10}
            score(out / "decode/seen", rate, seed=seed, test_set="seen", meta=meta)
    return cells


def test_the_report_compares_at_each_level(cells, tmp_path, capsys):
    study_asr.main(["--study", "study.yaml", "--out", "report"])
    text = capsys.readouterr().out
    page = (tmp_path / "report/README.md").read_text()
    found = json.loads((tmp_path / "report/results.json").read_text())["cells"]
    by_place = {(c["factor"], c["level"], c["system"]): c for c in found}
    assert len(found) == 6  # the base in two factors
    for level, sign in (("15", 1), ("7", -1)):
        m1, uniform = (by_place["rate", level, s] for s in ("m1", "uniform"))
        assert uniform["difference"] is None
        assert m1["rate"] == float(level)
        rates = []
        for system in ("m1", "uniform"):
            row = tmp_path / "exp/sweep/study" / cells["rate", level, system]
            scores = [read_score(row / f"seed{i}/decode/seen/score.json") for i in (1, 2)]
            rates.append(sum(s["wer"]["estimate"] for s in scores) / 2)
        assert m1["wer"] == pytest.approx(rates[0], abs=1e-5)
        assert m1["difference"]["estimate"] == pytest.approx(rates[0] - rates[1], abs=1e-5)
        assert sign * m1["difference"]["low"] > 0
        difference = f"{100 * (rates[0] - rates[1]):+.2f} ["
        shown = f"{100 * rates[0]:.2f} ({level}.0), 2 seeds, {difference}"
        assert shown in page
        assert shown in text
    assert by_place["time", "base", "m1"] == {
        **by_place["rate", "15", "m1"],
        "factor": "time",
        "level": "base",
    }
    assert "| as it is | " not in page  # of a factor whose other levels were not run
    assert "6 of 8 cells run" in text
    assert (tmp_path / "report/seen_rate.png").read_bytes()[:4] == b"\x89PNG"
    assert "seen_rate.png" in page
    assert "seen_time.png" not in page


def test_nothing_run_is_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    study_asr.main(["--study", "study.yaml", "--out", "report"])
    assert "0 of 8 cells run" in capsys.readouterr().out
