"""``frontend_conf``: what the user writes and what it comes down to (no ESPnet, no torch model)."""

import dataclasses
import shutil

import numpy as np
import pytest
import yaml
from toy_training import META, K, calibrate, make_corpus

from espnet_entropy.compressor.model_dir import ModelManifest
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.unit_bpe import UnitBPE
from espnet_entropy.tasks.frontend_conf import dump_source, resolve_frontend
from espnet_entropy.utils.config import from_dict, write_yaml


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = make_corpus(tmp_path_factory.mktemp("corpus"))
    calibrate(root)
    UnitBPE.train(root / "dump/train", 30, root / "bpe")
    return root


@pytest.fixture(scope="module")
def model(corpus):
    """A model directory whose default is planned at 15 Hz; its parts are not looked at."""
    manifest = ModelManifest(1, **META, criterion="planned", rate=15.0)
    for part in ("tokenizer", "entropy_lm"):
        (corpus / "model" / part).mkdir(parents=True)
    write_yaml(corpus / "model/model.yaml", manifest)
    shutil.copy(corpus / "calibration.yaml", corpus / "model")
    return corpus / "model"


@pytest.fixture
def dumps(corpus):
    return [dump_source(corpus / "dump" / name / "scored.scp") for name in ("train", "valid")]


def segmenter_of(conf):
    return from_dict(SegmenterConfig, conf["segmenter"])


def test_a_model_directory_gives_its_default(model):
    table = CalibrationTable.load(model / "calibration.yaml")
    conf = resolve_frontend({"model": str(model)})
    assert segmenter_of(conf) == table.lookup("planned", 15.0)
    assert conf["asked"] == {"criterion": "planned", "rate": 15.0}
    manifest = yaml.safe_load((model / "model.yaml").read_text())
    for key in ("tokenizer", "entropy_lm", "num_clusters"):
        assert conf[key] == manifest[key]
    assert {"criterion", "rate", "calibration"}.isdisjoint(conf)


@pytest.mark.parametrize(
    ("given", "label", "rate"),
    [
        ({"rate": 7}, "planned", 7.0),
        ({"rate": 11.3}, "planned", 11.3),  # between calibrated rates
        ({"criterion": "global"}, "global", 15.0),
        ({"criterion": "uniform", "rate": 7}, "uniform", 7.0),
    ],
)
def test_criterion_and_rate_come_from_the_table(model, given, label, rate):
    table = CalibrationTable.load(model / "calibration.yaml")
    conf = resolve_frontend({"model": str(model), **given})
    assert segmenter_of(conf) == table.lookup(label, rate)
    assert conf["asked"] == {"criterion": label, "rate": rate}


def test_a_criterion_without_threshold_takes_no_rate(model):
    conf = resolve_frontend({"model": str(model), "criterion": "dedup"})
    assert segmenter_of(conf).criterion == "dedup"
    assert conf["asked"] == {"criterion": "dedup"}
    conf = resolve_frontend({"model": str(model), "criterion": "original"})  # not calibrated
    assert segmenter_of(conf).criterion == "original"
    with pytest.raises(ValueError, match=r"criterion 'original'.*remove rate"):
        resolve_frontend({"model": str(model), "criterion": "original", "rate": 50})
    with pytest.raises(ValueError, match=r"'dedup' has no threshold: it makes .* not 7"):
        resolve_frontend({"model": str(model), "criterion": "dedup", "rate": 7})


def test_what_is_resolved_stays_and_needs_no_model_directory(model):
    conf = resolve_frontend({"model": str(model), "criterion": "global", "rate": 7})
    moved = conf | {"model": "/nowhere"}
    assert resolve_frontend(moved) == moved
    assert yaml.safe_load(yaml.safe_dump(conf)) == conf  # plain values, as config.yaml needs
    with pytest.raises(ValueError, match=r"rate 15.* beside what was resolved"):
        resolve_frontend({k: v for k, v in conf.items() if k != "segmenter"} | {"rate": 15})


def test_a_calibration_stands_in_for_the_model_directory(corpus, dumps):
    path = str(corpus / "calibration.yaml")
    table = CalibrationTable.load(path)
    conf = resolve_frontend({"calibration": path, "criterion": "global", "rate": 10}, dumps)
    assert segmenter_of(conf) == table.lookup("global", 10.0)
    assert conf["tokenizer"] == "tok"
    conf = resolve_frontend({"calibration": path, "criterion": "dedup"}, dumps)
    assert conf["asked"] == {"criterion": "dedup"}
    with pytest.raises(ValueError, match="criterion 'global' needs rate"):
        resolve_frontend({"calibration": path, "criterion": "global"}, dumps)
    with pytest.raises(ValueError, match="says no criterion"):
        resolve_frontend({"calibration": path, "rate": 10}, dumps)


@pytest.mark.parametrize(
    "given",
    [
        {"criterion": "original"},
        {"criterion": "dedup"},
        {"segmenter": {"criterion": "fixed", "window": 2}},
        {"criterion": "uniform", "rate": 15},
        {"criterion": "random", "rate": 15},
        {"segmenter": {"criterion": "global", "threshold": 2.0, "scale": "bits"}},
    ],
    ids=lambda given: "-".join(map(str, given.values()))[:30],
)
def test_no_calibration_is_needed_where_there_is_no_threshold_to_find(given, dumps):
    conf = resolve_frontend(given, dumps)
    assert (conf["num_clusters"], conf["tokenizer"], conf["entropy_lm"]) == (K, "tok", "lm")
    assert resolve_frontend(conf) == conf
    segmenter = segmenter_of(conf)
    segmenter.require_knobs()
    assert segmenter.scale == "nats"


def test_thresholds_relative_to_ln_k_must_mean_the_same_k(dumps):
    given = {"criterion": "global", "threshold": 0.5, "scale": "relative", "num_clusters": K}
    segmenter = segmenter_of(resolve_frontend({"segmenter": given}, dumps))
    assert segmenter.threshold == pytest.approx(0.5 * np.log(K))
    with pytest.raises(ValueError, match="num_clusters 20, but frontend_conf: segmenter says 21"):
        resolve_frontend({"segmenter": given | {"num_clusters": K + 1}}, dumps)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"criterio": "dedup"}, "unknown key 'criterio'.* Did you mean 'criterion'"),
        ({"criterion": "dedupe"}, "unknown criterion 'dedupe'.* Did you mean 'dedup'"),
        ({"criterion": "global", "rate": 15}, "criterion 'global' needs a threshold"),
        ({"criterion": "fixed"}, r"needs window.*segmenter: {criterion: fixed, window: 2}"),
        ({"segmenter": {"criterion": "global"}}, "segmenter: criterion 'global' has no threshold"),
        ({"segmenter": {"criterion": "dedup"}, "rate": 15}, "rate 15.0 and segmenter are both"),
        ({"criterion": "dedup", "segmenter": {"criterion": "dedup"}}, "criterion dedup and segm"),
        ({"segmenter": {"criterion": "global", "thresholds": 2}}, "Did you mean 'threshold'"),
        ({"criterion": "unit_bpe"}, "'unit_bpe: <its model file>' go together"),
        ({"criterion": "dedup", "unit_bpe": "x.model"}, "go together"),
        ({"criterion": "unit_bpe", "unit_bpe": "x", "rate": 15}, "rate follows from the size"),
        ({"criterion": "unit_bpe", "unit_bpe": "none.model"}, "no such unit BPE"),
        ({"model": "/nowhere"}, "/nowhere: no such model directory"),
        ({}, "says no criterion"),
        ({"criterion": "uniform", "rate": 60}, "at most 50 Hz"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(given, message, dumps):
    with pytest.raises(ValueError, match=message):
        resolve_frontend(given, dumps)


def test_without_dump_or_model_the_number_of_units_is_asked_for():
    with pytest.raises(ValueError, match="number of units is unknown"):
        resolve_frontend({"criterion": "dedup"})
    assert resolve_frontend({"criterion": "dedup", "num_clusters": 7})["num_clusters"] == 7


def test_dump_and_model_must_belong_together(model, dumps):
    other = [dataclasses.replace(dumps[0], tokenizer="x")]
    with pytest.raises(
        ValueError, match=r"train/meta\.yaml: made with tokenizer x, but .*/model says"
    ):
        resolve_frontend({"model": str(model)}, other)
    conf = resolve_frontend({"criterion": "dedup"}, dumps)
    for part, other in (("tokenizer", "x"), ("entropy_lm", "y"), ("num_clusters", 21)):
        changed = dataclasses.replace(dumps[1], **{part: other})
        with pytest.raises(ValueError, match=f"valid/meta.yaml: made with {part} {other}, but"):
            resolve_frontend(conf, [dumps[0], changed])
        with pytest.raises(ValueError, match=f"valid/meta.yaml: made with {part} {other}, but"):
            resolve_frontend({"criterion": "dedup"}, [dumps[0], changed])


def test_a_dump_must_say_what_made_it(tmp_path):
    with pytest.raises(ValueError, match=r"meta\.yaml: no such file"):
        dump_source(tmp_path / "scored.scp")
    (tmp_path / "meta.yaml").write_text(yaml.safe_dump({k: META[k] for k in list(META)[:2]}))
    with pytest.raises(ValueError, match="expected 'num_clusters'"):
        dump_source(tmp_path / "scored.scp")


def test_unit_bpe(corpus, dumps):
    path = str(corpus / "bpe/unit_bpe.model")
    conf = resolve_frontend({"criterion": "unit_bpe", "unit_bpe": path}, dumps)
    assert conf["unit_bpe_size"] == 30
    assert conf["asked"] == {"criterion": "unit_bpe"}
    assert "segmenter" not in conf
    assert resolve_frontend(conf) == conf
    other = [dataclasses.replace(dumps[0], tokenizer="other")]
    with pytest.raises(
        ValueError, match=r"made with tokenizer other, but .*unit_bpe\.model says tok"
    ):
        resolve_frontend({"criterion": "unit_bpe", "unit_bpe": path}, other)
