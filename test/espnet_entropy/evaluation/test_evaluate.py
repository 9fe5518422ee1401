"""The whole path, from a scored dump and an aligned data directory to the report."""

import itertools
import json

import kaldiio
import numpy as np
import pytest
import soundfile

from espnet_entropy.bin import evaluate_boundaries, report_units
from espnet_entropy.evaluation.boundaries import count_boundaries, hypothesis_boundaries
from espnet_entropy.evaluation.record import git_revision, read_score, write_score
from espnet_entropy.evaluation.reference import Reference
from espnet_entropy.evaluation.score_boundaries import score_boundaries
from espnet_entropy.evaluation.systems import build_systems
from espnet_entropy.evaluation.tables import figures_table, markdown, method_name, readable
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.search import Calibration
from espnet_entropy.utils.grid import boundary_time, num_units

THRESHOLD = 1.0


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """12 utterances whose entropy is high exactly where a phone begins, to the unit."""
    root = tmp_path_factory.mktemp("recipe")
    generator = np.random.default_rng(0)
    data, scored = root / "data", root / "scored"
    data.mkdir()
    scored.mkdir()
    files = {name: [] for name in ("wav.scp", "utt2spk", "ctm.phones", "ctm.words", "samples")}
    ark = scored / "scored.ark"
    with open(ark, "wb") as stream, open(scored / "scored.scp", "w") as scp:
        for i in range(12):
            utt = f"s{i % 3}-{i:02d}"
            samples = 24000 + 320 * i
            units = num_units(samples)
            starts = np.sort(generator.choice(np.arange(3, units), 14, replace=False))
            edges = [0.0, *boundary_time(starts).tolist(), samples / 16000]
            frequency = np.zeros(samples)
            for j, (start, end) in enumerate(itertools.pairwise(edges)):
                frequency[int(start * 16000) : int(end * 16000)] = 300 * 2 ** (j % 4)
                line = f"{utt} {start:.4f} {end - start:.4f} p{j}\n"
                files["ctm.phones"].append(line)
                if j % 3 == 0:
                    last = edges[min(j + 3, len(edges) - 1)]
                    files["ctm.words"].append(f"{utt} {start:.4f} {last - start:.4f} w{j}\n")
            wav = 0.3 * np.sin(np.cumsum(2 * np.pi * frequency / 16000))
            wav += 0.02 * generator.standard_normal(samples)
            soundfile.write(data / f"{utt}.flac", wav, 16000)
            files["wav.scp"].append(f"{utt} {data / utt}.flac\n")
            files["utt2spk"].append(f"{utt} {utt[:2]}\n")
            files["samples"].append(f"{utt} {samples}\n")
            entropy = generator.uniform(0.1, 0.5, units)
            entropy[starts] = generator.uniform(2, 3, len(starts))
            matrix = np.stack([generator.integers(0, 9, units), entropy], axis=1)
            stream.write(f"{utt} ".encode())
            scp.write(f"{utt} {ark}:{stream.tell()}\n")
            kaldiio.matio.write_array(stream, matrix.astype(np.float32))
    for name, lines in files.items():
        path = scored / "utt2num_samples" if name == "samples" else data / name
        path.write_text("".join(lines))
    (data / "spk2utt").write_text("s0 s0-00\n")
    (scored / "meta.yaml").write_text("tokenizer: tok\nentropy_lm: lm\nnum_clusters: 9\n")
    configs = [
        SegmenterConfig("global", threshold=THRESHOLD),
        SegmenterConfig("relative", threshold_relative=1.2),
        SegmenterConfig("global", min_group=2, threshold=0.4),
    ]
    entries = [Calibration(c.label, c, 10.0, 10.0) for c in configs]
    (root / "exp" / "calibration").mkdir(parents=True)
    table = CalibrationTable("tok", "lm", 9, "valid", 12, 20.0, entries)
    table.save(root / "exp" / "calibration" / "calibration.yaml")
    rates = [
        {"set": name, "criterion": c.label, "target_rate": 10.0, "achieved_rate": 10.0 + i}
        for i, name in enumerate(("valid", "test"))
        for c in configs
    ]
    (root / "exp" / "calibration" / "rates.json").write_text(json.dumps(rates))
    return root


def run(recipe, out="test", **options):
    arguments = {
        "scored": recipe / "scored",
        "data": recipe / "data",
        "calibration": recipe / "exp" / "calibration" / "calibration.yaml",
        "out": recipe / "exp" / "boundaries" / out,
        **options,
    }
    evaluate_boundaries.main([w for k, v in arguments.items() for w in (f"--{k}", str(v))])
    return read_score(recipe / "exp" / "boundaries" / out / "score.json")


@pytest.fixture(scope="module")
def score(recipe):
    return run(recipe)


def find(score, method, boundary="start"):
    results = score["results"]
    return next(r for r in results if (r["method"], r["boundary"]) == (method, boundary))


def test_the_right_criterion_is_perfect(score):
    result = find(score, "global")
    figures = result["figures"]["phones"]["20ms"]
    for name in ("precision", "recall", "f1", "r_value"):
        assert figures[name] == {"estimate": 1.0, "low": 1.0, "high": 1.0}
    assert figures["mean_deviation"]["estimate"] < 1e-4
    assert result["paper"]["PBA"]["estimate"] == 1.0
    assert result["paper"]["MTD_phones"]["estimate"] < 1e-4
    assert result["figures"]["words"]["20ms"]["recall"]["estimate"] == 1.0
    # 14 inner phone boundaries, of which every third begins a word
    assert result["figures"]["words"]["20ms"]["precision"]["estimate"] == pytest.approx(4 / 14)
    assert score["reference"]["boundaries"] == {"phones": 12 * 14, "words": 12 * 4}


def test_chance_has_the_same_number_and_is_worse(score):
    result = find(score, "global")
    for name, tiers in result["chance"].items():
        figures = tiers["phones"]["20ms"]
        assert figures["over_segmentation"] == pytest.approx(0)
        assert figures["r_value"] < 0.95
        difference = result["r_value_above_chance"][name]["phones"]["20ms"]
        assert difference["estimate"] == pytest.approx(1 - figures["r_value"], abs=1e-5)
        assert difference["low"] > 0
    assert result["chance"]["spectral-flux"]["phones"]["20ms"]["recall"] > 0.7
    assert result["paper_chance"]["random"]["PBA"]["estimate"] < 1
    assert find(score, "global", "end")["chance"] == {}


def test_ours_is_compared_with_the_best_of_the_paper(score):
    above = find(score, "global_min2")["r_value_above_best_of_m1_m2_m3"]["phones"]["20ms"]
    assert above["best"] == "global start"
    own = find(score, "global_min2")["figures"]["phones"]["20ms"]["r_value"]["estimate"]
    assert above["estimate"] == pytest.approx(own - 1, abs=1e-5)
    assert find(score, "relative")["r_value_above_best_of_m1_m2_m3"] == {}


def test_tables_set_each_method_beside_chance_of_its_own(score):
    lines = figures_table(score, "phones", "20ms").splitlines()
    header, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    rows = [dict(zip(header, row, strict=True)) for row in rows[1:]]
    for result in score["results"]:
        row = next(row for row in rows if row["method"] == method_name(result))
        for name in ("uniform", "random"):
            cell = row[f"R above {name} [95 %]"]
            found = result["r_value_above_chance"].get(name, {})
            figure = found["phones"]["20ms"]["estimate"] if found else None
            assert cell.split(" ")[0] == ("" if figure is None else f"{figure:+.3f}")
    # a method without a rate is followed by chance at its own rate, and `original` by none
    names = [row["method"] for row in rows]
    runs = names.index("deduplicated")
    assert [row["Hz"] for row in rows[runs + 1 : runs + 5]] == [rows[runs]["Hz"]] * 4
    assert {name.split(":")[0] for name in names[runs + 1 : runs + 5]} == {"chance"}
    every = names.index("every unit")
    assert not names[every + 1 : every + 2] or names[every + 1] == "deduplicated"
    first = names.index("chance: uniform")
    assert rows[first]["Hz"] == rows[0]["Hz"]


def test_rates_lengths_and_provenance(score):
    every = find(score, "original", "")
    seconds = sum((24000 + 320 * i) / 16000 for i in range(12))
    units = sum(num_units(24000 + 320 * i) for i in range(12))
    assert score["seconds"] == pytest.approx(seconds)
    assert every["achieved_rate"] == pytest.approx(units / seconds, rel=1e-5)
    assert every["group_lengths"]["counts"] == [units]
    assert find(score, "global")["group_lengths"]["groups"] == 12 * 15
    assert score["model"]["entropy_lm"] == "lm"
    assert score["versions"]["numpy"] == np.__version__
    assert {"git", "command", "bootstrap", "task", "test_set"} <= set(score)


def test_both_conventions_and_no_duplicates(score):
    names = [(r["method"], r["boundary"]) for r in score["results"]]
    assert len(set(names)) == len(names) == 3 * 2 + 2


def test_the_other_convention_is_one_unit_later(recipe):
    matrix = kaldiio.load_scp(str(recipe / "scored" / "scored.scp"))["s0-00"]
    units, entropy = matrix[:, 0].astype(int), matrix[:, 1]
    reference = Reference(["a"], ["s"], [units], [entropy], [1.5], {}, [])
    config = SegmenterConfig("global", threshold=THRESHOLD)
    start, end = build_systems([(config, 10.0)], reference)[:2]
    assert (start.boundary, end.boundary) == ("start", "end")
    early, late = (hypothesis_boundaries(s.masks[0]) for s in (start, end))
    assert late[: len(early) - 1] == pytest.approx(early[: len(late) - 1] + 0.02)
    assert count_boundaries([early], [late], 0.02).pooled().matched >= len(early) - 1


def test_pages_and_pictures(recipe, score, capsys):
    page = (recipe / "exp" / "boundaries" / "test" / "README.md").read_text()
    assert "## Phones (168 boundaries" in page
    assert page.index("## Phones") < page.index("## Words") < page.index("PBA %")
    assert "chance: spectral-flux" in page
    out = recipe / "exp" / "report"
    report_units.main(["--exp", str(recipe / "exp"), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "M1 global" in printed
    assert "1.000 [1.000, 1.000]" in printed
    assert "Do groups begin where phones begin?" in printed
    assert str(out / "README.md") in printed
    text = (out / "README.md").read_text()
    assert "11.00 (+10.0 %)" in text
    for picture in ("example_test", "r_value_test_phones", "group_lengths_test"):
        assert f"({picture}.png)" in text
        assert (out / f"{picture}.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_run_gives_the_same_figures(recipe, score):
    again = run(recipe, "again")
    assert again["results"] == score["results"]
    by_speaker = run(recipe, "again", seed=1)
    assert by_speaker["results"] != score["results"]


def test_wrong_inputs_are_named(recipe, tmp_path):
    with pytest.raises(ValueError, match=r"scored\.scp: no such file"):
        run(recipe, scored=tmp_path)
    other = CalibrationTable("tok", "another", 9, "valid", 1, 1.0, [])
    other.save(tmp_path / "calibration.yaml")
    with pytest.raises(ValueError, match="scored with entropy_lm lm, but the calibration belongs"):
        run(recipe, calibration=tmp_path / "calibration.yaml")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("wav.scp", "utt2spk", "spk2utt"):
        (bare / name).write_text((recipe / "data" / name).read_text())
    with pytest.raises(ValueError, match=r"lacks ctm\.phones and ctm\.words"):
        run(recipe, data=bare)
    (bare / "ctm.phones").write_text("nobody 0 1 a\n")
    with pytest.raises(ValueError, match="no utterance is both scored and aligned"):
        run(recipe, data=bare)
    with pytest.raises(ValueError, match=r"rates\.json.*run stage 'calibrate' first"):
        report_units.main(["--exp", str(tmp_path), "--out", str(tmp_path / "out")])


def test_records(tmp_path):
    write_score(tmp_path / "score.json", {"task": "t", "x": float("nan"), "y": [1 / 3], "n": 1})
    found = read_score(tmp_path / "score.json")
    assert found == {"task": "t", "x": None, "y": [0.333333], "n": 1}
    (tmp_path / "score.json").write_text("[]")
    with pytest.raises(ValueError, match="expected a result with 'task'"):
        read_score(tmp_path / "score.json")
    assert git_revision() is None or len(git_revision().removesuffix("-dirty")) == 40


def test_tables():
    assert markdown(["a", "bb"], [["ccc", "d"]]) == "| a   | bb |\n|-----|----|\n| ccc | d  |\n"
    assert readable("combined_min2") == "M3 combined, min2"
    assert method_name({"method": "dedup", "boundary": ""}) == "deduplicated"
    assert method_name({"method": "relative", "boundary": "end"}) == "M2 relative, end"


def test_equal_rates_finds_the_thresholds_anew(recipe, score):
    wanted = find(score, "global")["achieved_rate"]
    far_off = SegmenterConfig("global", threshold=50.0)
    entry = Calibration("global", far_off, wanted, wanted)
    table = CalibrationTable("tok", "lm", 9, "valid", 12, 20.0, [entry])
    out = recipe / "exp" / "equal"
    score_boundaries(recipe / "scored", recipe / "data", table, out, equal_rates=True)
    found = read_score(out / "score.json")
    assert found["model"]["calibrated_on"] == "equal"
    for boundary in ("start", "end"):
        result = find(found, "global", boundary)
        assert result["achieved_rate"] == pytest.approx(wanted, rel=1e-6)
    figures = find(found, "global")["figures"]["phones"]["20ms"]
    assert figures["r_value"]["estimate"] == 1.0
    assert "Thresholds were found on this very set" in (out / "README.md").read_text()
