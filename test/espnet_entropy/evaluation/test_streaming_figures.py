"""Agreement of a stream with full context, against figures made by hand."""

import numpy as np
import pytest

from espnet_entropy.evaluation.streaming import Pair, figures
from espnet_entropy.evaluation.streaming_report import stream_line, stream_report
from espnet_entropy.utils.grid import boundary_time


def pair(seconds, units, entropy, starts, waits=()):
    return Pair(
        seconds,
        tuple(np.array([int(c) for c in row]) for row in units),
        tuple(np.full(len(units[0]), value) for value in entropy),
        tuple(np.array([c == "x" for c in row]) for row in starts),
        np.array(waits, float),
    )


@pytest.fixture
def pairs():
    return {
        # the second inner start moves from unit 4 to unit 3
        "a": pair(1.0, ("112233", "112333"), (1.0, 1.5), ("x.x.x.", "x.xx.."), (0.1, 0.2)),
        # one inner start at 2 in full, at 1 and 2 in the stream
        "b": pair(2.0, ("5566", "5677"), (2.0, 2.0), ("x.x.", "xxx."), (0.3,)),
    }


def test_a_hand_made_example(pairs):
    phones = {"a": np.array([boundary_time(2), boundary_time(4) + 0.015])}
    found = figures(pairs, phones)
    assert found["utterances"] == 2
    assert found["seconds"] == 3.0

    def value(*path):
        node = found
        for key in path:
            node = node[key]
        return node["estimate"]

    assert value("equal_units", "all") == pytest.approx((5 + 1) / 10)
    assert value("starts", "same_unit", "f1") == pytest.approx(2 * (1 + 1) / (3 + 4))
    assert value("starts", "one_unit", "f1") == pytest.approx(2 * (2 + 1) / (3 + 4))
    # the stream's units change exactly where it has its starts: chance finds the same places
    assert found["starts"]["same_unit"]["chance_f1"] == pytest.approx(4 / 7)
    assert value("rate", "full") == pytest.approx(5 / 3)
    assert value("rate", "stream") == pytest.approx(6 / 3)
    assert value("rate", "drift") == pytest.approx(0.2)
    assert value("entropy", "full") == pytest.approx((6 * 1 + 4 * 2) / 10)
    assert value("entropy", "difference") == pytest.approx((6 * 0.5) / 10)
    assert value("wait_seconds", "mean") == pytest.approx(0.2)
    assert found["wait_seconds"]["max"] == 0.3
    assert found["wait_seconds"]["groups"] == 3
    # of a's two phone boundaries the stream finds one, with no start too many
    assert found["phones"]["utterances"] == 1
    assert found["phones"]["boundaries"] == 2
    assert value("phones", "full") == pytest.approx(1.0)
    r_value = 1 - (0.5 + 0.5 / np.sqrt(2)) / 2
    assert value("phones", "stream") == pytest.approx(r_value)
    assert value("phones", "difference") == pytest.approx(r_value - 1)


def test_intervals_come_from_resampled_utterances(pairs):
    equal = figures(pairs, {})["equal_units"]["all"]
    # a resample holds a twice, b twice or both: 5/6, 1/4 or 6/10
    assert equal["low"] == pytest.approx(1 / 4)
    assert equal["high"] == pytest.approx(5 / 6)
    assert figures({"a": pairs["a"]}, {})["phones"] is None


def test_agreement_by_age():
    units = np.zeros(200, int)
    stream = units.copy()
    stream[:10] = 1  # of 50 in the first second
    stream[60:65] = 1  # of 100 in the next two
    starts = np.arange(200) % 4 == 0
    zeros = np.zeros(200)
    long = Pair(4.0, (units, stream), (zeros, zeros), (starts, starts), np.array([0.1]))
    shares = figures({"long": long}, {})["equal_units"]
    found = [shares[age]["estimate"] for age in ("first second", "1 to 3 s", "after 3 s")]
    assert found == [0.8, 0.95, 1.0]


def test_what_is_undefined_is_a_dash():
    short = pair(0.1, ("11", "11"), (0.0, 0.0), ("x.", "x."))
    found = figures({"short": short}, {})
    plain = {**found, "failed": {"bad": "empty file"}, "criterion": "global", "target_rate": 15.0}
    plain |= {"test_set": "s", "latency_seconds": {"features": 0.1, "segmenter": 0.0}}
    plain |= {"model": {"features": "mfcc", "full_context": {}, "stream": {}}}
    for figure in (plain["starts"]["same_unit"], plain["starts"]["one_unit"]):
        assert np.isnan(figure["f1"]["estimate"])  # null in the file
        figure["f1"] = dict.fromkeys(figure["f1"])
        figure["chance_f1"] = None
    for age in ("1 to 3 s", "after 3 s"):
        plain["equal_units"][age] = dict.fromkeys(plain["equal_units"][age])
    plain["wait_seconds"]["mean"] = dict.fromkeys(plain["wait_seconds"]["mean"])
    page = stream_report(plain)
    assert "- bad: empty file" in page
    assert "group starts at the same unit, F1 | - [-, -]" in page
    assert "after 3 s" not in page
    assert "phone R-value" not in page
    assert "1 failed: bad" in stream_line(plain)
