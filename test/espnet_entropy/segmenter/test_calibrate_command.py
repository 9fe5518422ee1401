import json

import kaldiio
import numpy as np
import pytest

from espnet_entropy.bin.calibrate import main
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.scored import read_scored
from espnet_entropy.segmenter.segment import segment

PLAN = """
criteria: [{criterion: global}, {criterion: planned}, {criterion: dedup}]
rates: [15, 7]
default: {criterion: planned, rate: 15}
"""
META = "tokenizer: tok\nentropy_lm: lm\nnum_clusters: 40\n"


def write_dump(path, seed, utterances=12):
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True)
    samples = []
    with kaldiio.WriteHelper(f"ark,scp:{path}/scored.ark,{path}/scored.scp") as writer:
        for i in range(utterances):
            n = int(rng.integers(50, 300))
            columns = [rng.integers(0, 40, n), rng.gamma(2.0, 1.0, n)]
            writer(f"utt{i}", np.stack(columns, axis=1).astype(np.float32))
            samples.append(f"utt{i} {n * 320 + 80}\n")
    (path / "utt2num_samples").write_text("".join(samples))
    (path / "meta.yaml").write_text(META)
    return path


@pytest.fixture
def recipe(tmp_path):
    write_dump(tmp_path / "valid", 0)
    write_dump(tmp_path / "test", 1)
    (tmp_path / "segmenter.yaml").write_text(PLAN)
    return tmp_path


def run(recipe, *more):
    paths = {"scored": "valid", "config": "segmenter.yaml", "out": "exp/calibration.yaml"}
    main([x for k, v in paths.items() for x in (f"--{k}", str(recipe / v))] + list(more))


def test_calibrates_and_reports_on_other_sets(recipe, capsys):
    run(recipe, "--report", str(recipe / "valid"), str(recipe / "test"))
    table = CalibrationTable.load(recipe / "exp/calibration.yaml")
    assert (table.tokenizer, table.entropy_lm, table.num_clusters) == ("tok", "lm", 40)
    rows = json.loads((recipe / "exp/rates.json").read_text())
    assert [r["set"] for r in rows] == ["valid"] * 5 + ["test"] * 5
    scored = read_scored(recipe / "test")
    for row in rows[5:]:
        config = table.lookup(row["criterion"], row["target_rate"])
        groups = sum(
            segment(m[:, 0].astype(int), m[:, 1], config).sum() for m in scored.utterances.values()
        )
        assert row["achieved_rate"] == pytest.approx(groups / scored.seconds)
        assert row["deviation"] == pytest.approx(row["achieved_rate"] / row["target_rate"] - 1)
    printed = capsys.readouterr().out
    assert printed.strip() == (recipe / "exp/rates.txt").read_text().strip()
    assert all(name in printed for name in ("global", "planned", "dedup", "valid", "test"))


def test_rates_of_the_command_line_win(recipe):
    run(recipe, "--rates", "20", "10")
    table = CalibrationTable.load(recipe / "exp/calibration.yaml")
    assert {e.target_rate for e in table.entries if e.name == "global"} == {20.0, 10.0}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "valid/scored.scp").unlink(), r"valid/scored.scp: no such file"),
        (lambda d: (d / "valid/scored.scp").write_text(""), "no utterances"),
        (
            lambda d: (d / "valid/scored.scp").write_text(f"utt0 touch {d}/ran |\n"),
            "scored.scp: utt0: touch .*: a pipe",
        ),
        (
            lambda d: (d / "valid/scored.ark").write_bytes(b"utt0 PKL" + bytes(99)),
            "scored.scp: utt0: .* holds b'PKL",
        ),
        (lambda d: (d / "valid/utt2num_samples").unlink(), "utt2num_samples: no such file"),
        (
            lambda d: (d / "valid/utt2num_samples").write_text("utt0 x\n"),
            "utt2num_samples: utt0: exp",
        ),
        (lambda d: (d / "valid/utt2num_samples").write_text("utt0 9\n"), "lacks utterance 'utt1'"),
        (lambda d: (d / "valid/meta.yaml").write_text("tokenizer: a\n"), "lacks entropy_lm, num"),
        (
            lambda d: (d / "test/meta.yaml").write_text(META.replace("lm: lm", "lm: other")),
            "test: scored with entropy_lm other, but the calibration belongs to lm",
        ),
        (
            lambda d: (d / "segmenter.yaml").write_text(PLAN.replace("[15, 7]", "[15, 40]")),
            "'planned' cannot make 40 groups per second on this set: the maximum is 2",
        ),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(recipe, damage, message):
    damage(recipe)
    with pytest.raises(ValueError, match=message):
        run(recipe, "--report", str(recipe / "test"))
    assert not (recipe / "exp/calibration.yaml").exists()
    assert not (recipe / "ran").exists()
