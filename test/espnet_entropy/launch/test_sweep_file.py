"""Sweep files, and what their rows come down to."""

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from espnet_entropy.cale.config import CaleConfig, PoolingConfig
from espnet_entropy.compressor.model_dir import ModelManifest
from espnet_entropy.launch.sweep import Settings, plan_sweep
from espnet_entropy.launch.sweep_calibration import calibrate_rows
from espnet_entropy.launch.sweep_file import (
    Sweep,
    SweepRow,
    experiment_dir,
    find_sweep,
    load_sweep,
    merge,
)
from espnet_entropy.launch.sweep_rows import asked_rates, resolve_groups, row_training
from espnet_entropy.segmenter.config import load_plan
from espnet_entropy.tasks.frontend_conf import FrontendConfig
from espnet_entropy.tasks.masking import MaskingConfig
from espnet_entropy.utils.config import from_dict, write_yaml

TEMPLATE = Path(__file__).resolve().parents[3] / "egs2/TEMPLATE"
SWEEPS = sorted((TEMPLATE / "asr1/conf/sweep").glob("*.yaml"))
BASES = {
    "cale": {
        "frontend": "units",
        "frontend_conf": {"criterion": "planned_center100", "rate": 15},
        "encoder": "cale",
        "encoder_conf": {"width": 64, "heads": 2, "layers": 3, "time": "start"},
        "max_epoch": 5,
    },
    "cale_conformer": {
        "frontend": "units",
        "frontend_conf": {"model": "../units1/exp/compressor"},
        "encoder": "cale",
        "encoder_conf": {
            "width": 64,
            "token_update": "window",
            "context": "conformer",
            "context_conf": {"num_blocks": 2, "linear_units": 100},
        },
        "max_epoch": 5,
    },
}


def sweep_of(*names, **more):
    return {"title": "t", "rows": [{"name": name} for name in names], **more}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sweep_of(), "expected at least one"),
        (sweep_of("a", "b", "a"), "'a' is listed twice"),
        (sweep_of("a", "a_flops"), "'a_flops' is the directory of 'a' at equal FLOPs"),
        (sweep_of("a/b"), "it names a directory"),
        (sweep_of("raw", "dedup", reference="dedpu"), "Did you mean 'dedup'?"),
        ({"title": "t", "rows": [{"name": "a", "trains": {}}]}, "Did you mean 'train'?"),
    ],
)
def test_mistakes_in_a_file(tmp_path, content, message):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"s\.yaml: ") as error:
        load_sweep(tmp_path / "s.yaml")
    assert message in str(error.value)


def test_a_sweep_is_found_by_name_in_the_recipe_before_the_template(tmp_path, monkeypatch):
    places = [tmp_path / "recipe", tmp_path / "template"]
    for place in places:
        (place / "conf/sweep").mkdir(parents=True)
    (places[1] / "conf/sweep/methods.yaml").touch()
    expected = places[1] / "conf/sweep/methods.yaml"
    for name in ("methods", "conf/sweep/methods.yaml", str(expected)):
        assert find_sweep(name, places) == expected
    (places[0] / "conf/sweep/methods.yaml").touch()
    assert find_sweep("methods", places) == places[0] / "conf/sweep/methods.yaml"
    with pytest.raises(ValueError, match="Did you mean 'methods'"):
        find_sweep("method", places)


def test_directories():
    root = Path("exp/sweep/m")
    assert experiment_dir(root, "raw", "epochs", 2) == root / "raw/seed2"
    assert experiment_dir(root, "raw", "flops") == root / "raw_flops"
    with pytest.raises(ValueError, match="Did you mean 'flops'"):
        experiment_dir(root, "raw", "flop")


def test_merging_leaves_its_arguments_alone():
    base = {"a": {"b": {"c": 1, "d": [1, 2]}}, "e": 1}
    merged = merge(base, {"a": {"b": {"d": [3]}}, "e": {"f": 2}, "g": None})
    assert merged == {"a": {"b": {"c": 1, "d": [3]}}, "e": {"f": 2}, "g": None}
    assert base == {"a": {"b": {"c": 1, "d": [1, 2]}}, "e": 1}


def training(train, base="cale", name="row"):
    return row_training(BASES[base], SweepRow(name, train=train), "../u")


def test_a_row_that_says_its_groups_keeps_nothing_of_the_recipes():
    made = training({"frontend_conf": {"criterion": "dedup"}})
    assert made["frontend_conf"] == {"criterion": "dedup", "model": "../u/exp/compressor"}
    assert training({"max_epoch": 3})["frontend_conf"]["rate"] == 15


def test_another_encoder_keeps_what_both_have():
    made = training({"encoder": "unit_pooling", "encoder_conf": {"mode": "average"}})
    kept = {"width": 64, "heads": 2, "time": "start", "mode": "average"}
    assert made["encoder_conf"] == kept
    other = training({"encoder": "conformer", "encoder_conf": {"num_blocks": 2}})
    assert other["encoder_conf"] == {"num_blocks": 2}


def test_a_context_goes_and_comes():
    without = training({"encoder_conf": {"context": None}}, "cale_conformer")
    assert without["encoder_conf"] == {"width": 64, "token_update": "window"}
    pooled = {"encoder": "unit_pooling", "encoder_conf": {"context": "conformer"}}
    assert training(pooled, "cale_conformer")["encoder_conf"]["context_conf"] == {
        "num_blocks": 2,
        "linear_units": 100,
    }
    assert training(pooled)["encoder_conf"]["context_conf"] == {
        "num_blocks": 3,
        "attention_heads": 2,
        "linear_units": 0.75 * CaleConfig(width=64).inner,
    }


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"frontend_conf": {"criterium": "x"}}, "frontend_conf: unknown key 'criterium'"),
        ({"encoder_conf": {"widht": 3}}, "Did you mean 'width'?"),
        ({"encoder": "unit_pooling", "encoder_conf": {"layers": 3}}, "unknown key 'layers'"),
    ],
)
def test_misspelt_keys_of_ours(train, message):
    with pytest.raises(ValueError, match="row 'row': train: ") as error:
        training(train)
    assert message in str(error.value)


def test_the_tables_of_the_paper_are_there():
    tables = {load_sweep(path).paper_table for path in SWEEPS}
    assert tables == {1, 2, 3, 7, 10, 12, 13, None}
    assert {path.stem for path in SWEEPS} >= {"methods", "curve"}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_row_of_the_template_is_accepted(path, base):
    known = {config.label for config in load_plan(TEMPLATE / "units1/conf/segmenter.yaml").criteria}
    for row in load_sweep(path).rows:
        made = row_training(BASES[base], row, "../units1")
        frontend = from_dict(FrontendConfig, made["frontend_conf"])
        given = frontend.segmenter.label if frontend.segmenter else frontend.criterion
        assert given in known | {"original", "unit_bpe"}
        conf = dict(made["encoder_conf"])
        assert (conf.pop("context", None) is None) <= ("context_conf" not in conf)
        conf.pop("context_conf", None)
        for field in MaskingConfig.__dataclass_fields__:
            conf.pop(field, None)
        from_dict(CaleConfig if made["encoder"] == "cale" else PoolingConfig, conf)
        for figures in row.paper.values():
            assert {"wer"} <= figures.keys() <= {"wer", "cer", "rate"}
            assert all(0 < figure <= 50 for figure in figures.values())


def test_rows_of_methods_differ_in_their_groups_alone():
    sweep = load_sweep(TEMPLATE / "asr1/conf/sweep/methods.yaml")
    made = [row_training(BASES["cale_conformer"], row, "") for row in sweep.rows]
    conf = [training.pop("frontend_conf") for training in made]
    assert all(training == made[0] for training in made)
    assert len({str(c) for c in conf}) == len(sweep.rows) == 19


def test_a_unit_bpe_is_that_of_the_rows_units():
    train = {"frontend_conf": {"criterion": "unit_bpe"}}
    row = SweepRow("bpe", train=train, options={"unit_bpe_size": 300})
    for units in ("../units1", "../units1_km2000", "../units1_km2000/"):
        made = row_training(BASES["cale"], row, units)["frontend_conf"]["unit_bpe"]
        assert made == f"{path_in_driver(units, 300)}/unit_bpe.model"
    named = {"frontend_conf": {"criterion": "unit_bpe", "unit_bpe": "mine.model"}}
    assert training(named)["frontend_conf"]["unit_bpe"] == "mine.model"
    with pytest.raises(ValueError, match=r"row 'row': criterion unit_bpe of which size\? Add"):
        training(train)


def path_in_driver(units, size):
    """Where ``asr.sh`` trains it: its own lines, run by bash."""
    driver = (TEMPLATE / "asr1/asr.sh").read_text()
    (kind,) = re.findall(r"^kind=.*", driver, re.MULTILINE)
    (out,) = re.findall(r'--vocab_size .* --out (".*")', driver)
    script = f"units={units} unit_bpe_size={size}\n{kind}\necho {out}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip()


@pytest.fixture
def units(tmp_path):
    """A scored valid set, its ``segmenter.yaml`` and a model directory without its parts."""
    make_units(tmp_path / "valid", tmp_path / "u", tmp_path / "segmenter.yaml")
    return tmp_path


def make_units(valid, recipe, segmenter, scale=1.0, tokenizer="tok"):
    import kaldiio

    rng = np.random.default_rng(0)
    model = recipe / "exp/compressor"
    valid.mkdir(parents=True)
    with kaldiio.WriteHelper(f"ark,scp:{valid}/scored.ark,{valid}/scored.scp") as writer:
        for i in range(10):
            columns = [rng.integers(0, 20, 200), rng.gamma(2.0, scale, 200)]
            writer(f"u{i}", np.stack(columns, 1).astype(np.float32))
    (valid / "utt2num_samples").write_text("".join(f"u{i} {200 * 320 + 80}\n" for i in range(10)))
    meta = {"tokenizer": tokenizer, "entropy_lm": "lm", "num_clusters": 20}
    write_yaml(valid / "meta.yaml", meta)
    plan = {"default": {"criterion": "global", "rate": 15}, "rates": [15]}
    plan["criteria"] = [{"criterion": "global"}, {"criterion": "planned"}]
    write_yaml(segmenter, plan)
    for part in ("tokenizer", "entropy_lm"):
        (model / part).mkdir(parents=True)
    write_yaml(model / "model.yaml", ModelManifest(1, **meta, criterion="global", rate=15.0))
    calibrate_rows({"global": [15.0]}, valid, segmenter, model / "calibration.yaml")


def test_a_sweep_calibrates_each_kind_of_units_on_its_own_scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, scale in (("", 1.0), ("_km50", 2.0)):  # entropies twice as large, thresholds too
        place = Path(f"dump/asr{name}/valid"), Path(f"other/units1{name}")
        make_units(*place, Path("segmenter.yaml"), scale, f"tok{name}")
    conf = {"frontend_conf": {"criterion": "global", "rate": 12}}
    rows = [SweepRow("a", train=conf)]
    rows.append(SweepRow("b", train=conf, options={"units": "other/units1_km50"}))
    sweep = Sweep("t", rows, calibrate=True)
    settings = Settings(Path("train.yaml"), ["asr.sh"], units="other/units1")
    settings = dataclasses.replace(settings, segmenter=Path("segmenter.yaml"))
    plan = plan_sweep(sweep, Path("exp/sweep/t"), BASES["cale"], settings)
    found = {
        path.parent.name: training["frontend_conf"] for path, training in plan.trainings.items()
    }
    assert [found[row]["tokenizer"] for row in "ab"] == ["tok", "tok_km50"]
    first, second = (found[row]["segmenter"]["threshold"] for row in "ab")
    assert second == pytest.approx(2 * first, rel=1e-5)
    nothing = Sweep(
        "t", [SweepRow("a", train={"frontend_conf": {"criterion": "dedup"}})], calibrate=True
    )
    with pytest.raises(ValueError, match="no row asks for a criterion at a rate"):
        plan_sweep(nothing, Path("exp/sweep/t"), BASES["cale"], settings)


def test_a_sweep_calibrates_each_criterion_at_its_own_rates(units):
    rows = [("global", 40), ("global", 10), ("planned", 10), ("dedup", None)]
    confs = [{"criterion": c} | ({"rate": r} if r else {}) for c, r in rows]
    sweep = Sweep("t", [SweepRow(f"r{i}", train={"frontend_conf": c}) for i, c in enumerate(confs)])
    rates = asked_rates(sweep.rows, BASES["cale"])
    assert rates == {"global": [40.0, 10.0], "planned": [10.0]}  # planned cannot make 40
    out = units / "c.yaml"
    table = calibrate_rows(rates, units / "valid", units / "segmenter.yaml", out)
    for label, rate in (("global", 40), ("global", 10), ("planned", 10)):
        entry = table.find(label, rate)
        assert entry.achieved_rate == pytest.approx(rate, rel=0.01)
        conf = {"criterion": label, "rate": rate, "calibration": str(out), "model": None}
        resolved = resolve_groups({"frontend": "units", "frontend_conf": conf}, "row")
        threshold = resolved["frontend_conf"]["segmenter"]["threshold"]
        assert threshold == entry.config.threshold
    with pytest.raises(ValueError, match="planned"):
        calibrate_rows({"planned": [40.0]}, units / "valid", units / "segmenter.yaml", out)


def test_resolving_names_the_row_and_leaves_foreign_keys_alone(units):
    conf = {"criterion": "dedup", "model": str(units / "u/exp/compressor"), "n_fft": 3}
    made = resolve_groups({"frontend": "units", "frontend_conf": conf}, "row 'a'")
    assert made["frontend_conf"]["n_fft"] == 3
    assert made["frontend_conf"]["segmenter"]["criterion"] == "dedup"
    conf = {"criterion": "globall", "model": str(units / "u/exp/compressor")}
    with pytest.raises(ValueError, match=r"row 'a': .*Did you mean 'global'"):
        resolve_groups({"frontend": "units", "frontend_conf": conf}, "row 'a'")
