import math

import numpy as np
import pytest

from espnet_entropy.segmenter.config import CalibrationPlan, SegmenterConfig, load_plan
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.utils.config import from_dict


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"criterion": "globl"}, "unknown criterion 'globl'.*Did you mean 'global'"),
        ({"threshold": math.nan}, "threshold: expected a finite number"),
        ({"threshold": "high"}, "threshold: expected a number, got 'high'"),
        ({"thresh": 1.0}, "unknown key 'thresh'.*Did you mean 'threshold'"),
        ({"boundary": "middle"}, "unknown boundary 'middle'"),
        ({"scale": "hartley"}, "unknown scale 'hartley'"),
        ({"scale": "relative"}, "give num_clusters"),
        ({"scale": "relative", "num_clusters": 1}, "num_clusters: expected at least 2"),
        ({"min_group": 0}, "min_group: expected at least 1 unit, got 0"),
        ({"criterion": "planned", "max_group": 1}, r"min_group \(2\) is above max_group \(1\)"),
        ({"min_group": 5, "max_group": 4}, r"min_group \(5\) is above max_group \(4\)"),
        ({"max_group": 2.5}, "max_group: expected a whole number"),
        ({"criterion": "fixed"}, "'fixed' needs window"),
        ({"criterion": "fixed", "window": 0}, "window: expected at least 1"),
        ({"criterion": "dedup", "threshold": 1.0}, "'dedup' does not use it.*remove it"),
        ({"criterion": "global", "threshold_relative": 1.0}, "does not use it"),
        ({"criterion": "uniform", "rate": 0.0}, "rate: expected above 0"),
        ({"criterion": "uniform", "rate": 60.0}, "at most 50 Hz"),
        ({"criterion": "random", "boundary": "end"}, "'end' has no meaning for criterion 'random'"),
        ({"center": 1}, "center: expected at least 2 units"),
        ({"criterion": "relative", "center": 9}, "criterion 'relative' does not use it"),
        ({"criterion": "planned", "lookahead": -1}, "lookahead: expected 0 or more"),
    ],
)
def test_bad_configurations_say_what_to_do(content, message):
    with pytest.raises(ValueError, match=f"^segmenter.yaml: .*{message}"):
        from_dict(SegmenterConfig, content, "segmenter.yaml")


@pytest.mark.parametrize("criterion", ["global", "relative", "combined", "planned", "random"])
def test_a_missing_threshold_says_calibrate(criterion):
    with pytest.raises(ValueError, match=r"has no (threshold|threshold_relative|rate): calibrate"):
        segment(np.zeros(3, int), np.zeros(3), SegmenterConfig(criterion))


@pytest.mark.parametrize("shape", [((3,), (4,)), ((0,), (0,)), ((2, 3, 4), (2, 3, 4))])
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="expected the same shape"):
        segment(np.zeros(shape[0], int), np.zeros(shape[1]), SegmenterConfig("dedup"))


PLAN = """
criteria:
  - {criterion: global}
  - {criterion: planned}
rates: [24, 15, 7]
default: {criterion: planned, rate: 15}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("planned, rate", "planed, rate", "none of criteria.*Did you mean"),
        ("rate: 15", "rate: 12", "rate 12 is none of rates: 24, 15, 7"),
        ("[24, 15, 7]", "[24, 15, 70]", "at most 50 Hz"),
        ("[24, 15, 7]", "[]", "at least one of each"),
        ("{criterion: global}", "{criterion: global, threshold: 1}", "calibration finds; remove"),
        ("{criterion: global}", "{criterion: planned, min_group: 2}", "listed twice"),
        ("{criterion: global}", "{criterion: gobal}", r"criteria\[0\]: unknown criterion 'gobal'"),
    ],
)
def test_plans_are_checked(tmp_path, old, new, message):
    path = tmp_path / "segmenter.yaml"
    path.write_text(PLAN)
    plan = load_plan(path)
    assert isinstance(plan, CalibrationPlan)
    assert [config.label for config in plan.criteria] == ["global", "planned"]
    path.write_text(PLAN.replace(old, new))
    with pytest.raises(ValueError, match=rf"^{path}: .*{message}"):
        load_plan(path)
