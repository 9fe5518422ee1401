import json
import struct

import pytest
import yaml
from scored_asr import score

from espnet_entropy.bin import report_asr as command
from espnet_entropy.evaluation.asr_plots import Point, plot_error_rate, plot_training
from espnet_entropy.evaluation.asr_report import write_asr_report
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.train_log import parse_log, read_curves

# of a training by ESPnet 202511
LOG = """\
[vm] 2026-11-21 13:10:42,783 (trainer:394) INFO: 1epoch results: [train] iter_time=0.003, \
loss=3.387, acc=0.250, clip=22.642, optim0_lr0=2.000e-04, time=16.32 seconds, total_count=53, \
[valid] loss=1.923e+03, acc=5.000e-04, time=0.38 seconds, [att_plot] time=1 minute and 2 seconds
[vm] 2026-11-21 13:10:43,000 (trainer:300) INFO: 2epoch:train:1-2batch: loss=9.9
[vm] 2026-11-21 13:10:58,681 (trainer:394) INFO: 2epoch results: [train] loss=nan, [valid] loss=1.5
[vm] 2026-11-21 13:10:59,681 (trainer:394) INFO: 2epoch results: [train] loss=1.2, [valid] loss=1
"""


def is_picture(path):
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    return content[:8] == b"\x89PNG\r\n\x1a\n" and width > 300 and height > 200


def test_training_log():
    assert parse_log(LOG.splitlines()) == {
        "loss": {"train": [(1, 3.387), (2, 1.2)], "valid": [(1, 1923.0), (2, 1.0)]},
        "acc": {"train": [(1, 0.25)], "valid": [(1, 5e-4)]},
    }
    assert parse_log(["no results here", "3epoch results: "]) == {}


@pytest.mark.slow
def test_training_log_is_espnets():
    """The format, as ESPnet itself writes it."""
    reporter = pytest.importorskip("espnet2.train.reporter")
    own = reporter.Reporter()
    own.set_epoch(1)
    with own.observe("train") as sub:
        sub.register({"loss": 2.5, "acc": 0.5})
        sub.next()
    assert parse_log([own.log_message()]) == {
        "loss": {"train": [(1, 2.5)]},
        "acc": {"train": [(1, 0.5)]},
    }


@pytest.fixture
def experiment(tmp_path):
    exp = tmp_path / "exp/asr_small"
    meta = {
        "criterion": "global",
        "target_rate": 15.0,
        "achieved_rate": 14.2,
        "parameters": 1234567,
    }
    score(exp / "decode/seen", 0.1, test_set="seen", meta={**meta, "truncated": 2})
    score(exp / "decode/unseen", 0.3, seed=0, test_set="unseen", meta=meta, speakers=3)
    (exp / "logs").mkdir()
    (exp / "logs/train.log").write_text(LOG)
    return exp


def test_report_of_one_recognizer(experiment, tmp_path, capsys):
    command.main(["--exp", str(experiment), "--out", str(tmp_path / "report")])
    text = capsys.readouterr().out
    page = (tmp_path / "report/README.md").read_text()
    wer = read_score(experiment / "decode/seen/score.json")["wer"]
    for where in (text, page):
        assert f"{100 * wer['estimate']:.2f} [{100 * wer['low']:.2f}" in where
        assert "seen in training" in where
        assert "1.23 M parameters" in where
        assert "unseen: only 3 speakers" in where
    assert "oops" in page  # the worst utterances
    assert "git" in page
    assert is_picture(tmp_path / "report/training.png")


def test_report_without_a_log(experiment, tmp_path):
    (experiment / "logs/train.log").unlink()
    assert read_curves(experiment) == {}
    write_asr_report(experiment, tmp_path / "report")
    assert "training.png" not in (tmp_path / "report/README.md").read_text()


def test_nothing_scored(tmp_path):
    with pytest.raises(ValueError, match="run stage 'score' first"):
        write_asr_report(tmp_path, tmp_path / "report")
    path = tmp_path / "decode/a/score.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"task": "boundaries"}')
    with pytest.raises(ValueError, match="of task 'boundaries'; expected 'asr'"):
        write_asr_report(tmp_path, tmp_path / "report")


SWEEP = {
    "title": "Methods",
    "paper_table": 3,
    "reference": "raw",
    "note": "A note.",
    "rows": [
        {
            "name": "raw",
            "label": "every unit",
            "paper": {"test-clean": {"wer": 6.2, "cer": 3.3}},
            "train": {"frontend_conf": {"criterion": "original"}},
        },
        {
            "name": "m1_15",
            "paper": {"test-clean": {"wer": 5.6, "cer": 2.9}},
            "train": {"frontend_conf": {"criterion": "global", "rate": 15}},
        },
        {"name": "m1_7", "train": {"frontend_conf": {"criterion": "global", "rate": 7}}},
        {"name": "dedup", "train": {"frontend_conf": {"criterion": "dedup"}}},
    ],
}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Three seeds of two rows, one seed of a third; the last was not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/sweep").mkdir(parents=True)
    (tmp_path / "conf/sweep/methods.yaml").write_text(yaml.safe_dump(SWEEP))
    root = tmp_path / "exp/sweep/methods"
    for name, rate, hertz, seeds in (
        ("raw", 0.4, 50, 3),
        ("m1_15", 0.1, 15.3, 3),
        ("m1_7", 0.2, 7, 1),
    ):
        for seed in range(1, 1 + seeds):
            for test_set in ("seen", "unseen"):
                meta = {"achieved_rate": hertz, "parameters": 10**6}
                out = root / name / f"seed{seed}/decode" / test_set
                score(out, rate, seed=seed + int(hertz), test_set=test_set, meta=meta)
    return root


def run_sweep(root, capsys):
    command.main(["--sweep", str(root), "--out", str(root / "report")])
    return capsys.readouterr().out, json.loads((root / "report/results.json").read_text())


def test_sweep(sweep, capsys):
    text, results = run_sweep(sweep, capsys)
    assert results["task"] == "asr_sweep"
    rows = {row["name"]: row for row in results["budgets"]["epochs"]}
    assert list(results["budgets"]) == ["epochs"]
    seen = rows["m1_15"]["sets"]["seen"]
    values = [
        read_score(sweep / f"m1_15/seed{s}/decode/seen/score.json")["wer"]["estimate"]
        for s in (1, 2, 3)
    ]
    assert seen["wer"]["values"] == values
    assert seen["wer"]["mean"] == pytest.approx(sum(values) / 3, abs=1e-5)
    assert seen["seeds"] == [16, 17, 18]
    assert seen["against_reference"]["superiority"]["holds"]
    assert rows["dedup"]["sets"] == {}
    line = next(line for line in text.splitlines() if line.startswith("| m1_15"))
    assert [cell.strip() for cell in line.split("|")][2:6] == ["5.6", "2.9", "15.3", "3"]
    assert "±" in line
    assert "<" in line
    line = next(line for line in text.splitlines() if line.startswith("| m1_7"))
    assert "[" in line.split("|")[6]  # one seed: an interval
    line = next(line for line in text.splitlines() if line.startswith("| dedup"))
    assert "not run" in line
    assert "(reference)" in text
    assert "3 of 4 rows run" in text
    page = (sweep / "report/README.md").read_text()
    assert "the paper's table 3" in page
    assert "A note." in page
    assert "80 % power" in page
    for name in ("seen", "unseen"):
        assert is_picture(sweep / f"report/wer_{name}.png")


def test_sweep_is_the_same_again(sweep, capsys):
    first = run_sweep(sweep, capsys)
    names = ("README.md", "results.json", "wer_seen.png")
    before = [(sweep / "report" / name).read_bytes() for name in names]
    assert run_sweep(sweep, capsys) == first
    assert before == [(sweep / "report" / name).read_bytes() for name in names]


def test_sweep_with_equal_flops(sweep, capsys):
    score(sweep / "m1_15_flops/seed1/decode/seen", 0.1, seed=1, test_set="seen")
    (sweep / "m1_15_flops/budget.json").write_text('{"budget": "flops", "steps": 500}')
    text, results = run_sweep(sweep, capsys)
    assert list(results["budgets"]) == ["epochs", "flops"]
    row = results["budgets"]["flops"][1]
    assert row["training"] == {"steps": 500}
    assert "against_reference" not in row["sets"]["seen"]  # the reference was not run so
    assert "equal training FLOPs" in text


def test_sweep_before_anything_was_run(sweep, capsys):
    import shutil

    for name in ("raw", "m1_15", "m1_7"):
        shutil.rmtree(sweep / name)
    text, _ = run_sweep(sweep, capsys)
    assert text.count("not run") == 4
    assert "0 of 4 rows run" in text


def test_sweep_without_counts_of_utterances(sweep, capsys, caplog):
    (sweep / "m1_7/seed1/decode/seen/per_utt.json").unlink()
    run_sweep(sweep, capsys)
    assert "m1_7 is not compared with every unit" in caplog.text


def test_pictures(tmp_path):
    points = [
        Point("a", "global", (15.0, 5.0, 4.0, 6.0), (15.0, 5.6)),
        Point("b", "global", (7.0, 8.0, 7.0, 9.0), None),
        Point("c", "dedup", None, (26.0, 5.9)),
        Point("d", "x", None, None),
    ]
    plot_error_rate(tmp_path / "a.png", "t", points)
    assert is_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="at least one system"):
        plot_error_rate(tmp_path / "b.png", "t", points[3:])
    plot_training(tmp_path / "c.png", "t", {"loss": {"train": [(1, float("nan"))]}})
    assert is_picture(tmp_path / "c.png")
    with pytest.raises(ValueError, match="at least one curve"):
        plot_training(tmp_path / "d.png", "t", {})
