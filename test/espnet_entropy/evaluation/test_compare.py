import json

import pytest
from scored_asr import score

from espnet_entropy.bin import compare_asr as command
from espnet_entropy.evaluation.compare import Options, compare, comparison_text
from espnet_entropy.evaluation.per_utt import read_per_utt
from espnet_entropy.evaluation.record import read_score


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    rates = {"good": 0.1, "bad": 0.3, "like_good": 0.1}
    return {
        name: [score(root / f"{name}{s}", rate, seed=100 * i + s) for s in range(4)]
        for i, (name, rate) in enumerate(rates.items())
    }


def test_a_better_system(runs):
    result = compare(runs["good"], runs["bad"], names=("good", "bad"))
    rates = [read_score(run / "score.json")["wer"]["estimate"] for run in runs["good"]]
    assert result["system"]["rates"] == pytest.approx(rates, abs=1e-6)
    means = [result[role]["mean"] for role in ("system", "reference")]
    assert result["difference"]["estimate"] == pytest.approx(means[0] - means[1])
    assert result["difference"]["high"] < 0
    assert result["superiority"]["holds"]
    assert result["non_inferiority"]["holds"]
    assert result["by"] == "speaker"
    assert result["clusters"] == 12
    assert result["notes"] == []
    back = compare(runs["bad"], runs["good"])
    assert back["difference"]["estimate"] == -result["difference"]["estimate"]
    assert not back["superiority"]["holds"]
    assert not back["non_inferiority"]["holds"]


def test_equal_systems_are_not_told_apart(runs):
    result = compare(runs["good"], runs["like_good"])
    assert not result["superiority"]["holds"]
    assert result["difference"]["low"] < 0 < result["difference"]["high"]
    power = result["power"]
    step = result["difference"]["standard_error"]
    assert 2.8 * step < power["detectable_difference"] < 3.8 * step  # t of few runs
    assert 0 < power["non_inferiority_if_equal"] < 0.8
    # a margin that the design can show
    wide = compare(runs["good"], runs["like_good"], Options(margin=2.0))
    assert wide["non_inferiority"]["holds"]
    assert wide["power"]["non_inferiority_if_equal"] > 0.9


def test_margin_is_that_of_the_reference(runs):
    """Margin 0 is superiority: the same test."""
    result = compare(runs["good"], runs["like_good"], Options(margin=0.0))
    assert result["non_inferiority"]["p"] == result["superiority"]["p"]


def test_seeded(runs):
    first = compare(runs["good"], runs["bad"])
    assert compare(runs["good"], runs["bad"]) == first
    assert compare(runs["good"], runs["bad"], Options(seed=1)) != first


def test_one_run_says_what_it_does_not_cover(runs):
    result = compare(runs["good"][:1], runs["bad"])
    assert "not covered" in result["notes"][0]
    assert result["system"]["sd"] is None
    text = comparison_text(result)
    assert "one run" in text
    assert "over 4 runs" in text
    assert result["variance"]["seeds"] > 0


def test_parts_and_metrics(runs):
    new = compare(runs["good"], runs["bad"], Options(part="new", metric="cer"))
    seen = compare(runs["good"], runs["bad"], Options(part="in_train", by="utterance"))
    assert (new["utterances"], seen["utterances"]) == (40, 20)
    assert (new["metric"], seen["by"], seen["clusters"]) == ("cer", "utterance", 20)
    own = read_per_utt(runs["good"][0])
    counts = own.counts["characters"].where(~own.in_train).pooled()
    assert new["system"]["rates"][0] == pytest.approx(float(counts.rate))


def test_command(runs, tmp_path, capsys):
    words = [*map(str, ("--system", *runs["good"], "--reference", *runs["bad"]))]
    command.main([*words, "--out", str(tmp_path / "c.json"), "--names", "ours", "theirs"])
    text = capsys.readouterr().out
    assert "superior: yes" in text
    assert "80 % power" in text
    result = json.loads((tmp_path / "c.json").read_text())
    assert result["task"] == "asr_comparison"
    assert result["system"]["name"] == "ours"
    assert "git" in result


def test_what_cannot_be_compared(runs, tmp_path):
    good = runs["good"]
    with pytest.raises(ValueError, match="given twice"):
        compare(good[:2], good[1:])
    with pytest.raises(ValueError, match="at least one score directory"):
        compare([], good)
    with pytest.raises(ValueError, match=r"per_utt\.json: no such file"):
        compare([tmp_path], good)
    other = score(tmp_path / "other", 0.1, utterances=50)
    with pytest.raises(ValueError, match="other utterances than"):
        compare([other], good)
    content = json.loads((good[0] / "per_utt.json").read_text())
    content["utterances"][3]["words"]["hits"] += 1
    (tmp_path / "other/per_utt.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="u003: another reference"):
        compare([other], good)
    score(tmp_path / "none", 0.1, speakers=None)
    assert compare([tmp_path / "none"], good)["by"] == "utterance"
    with pytest.raises(ValueError, match="has no speakers"):
        compare([tmp_path / "none"], good, Options(by="speaker"))
    with pytest.raises(ValueError, match=r"alpha: expected between 0 and 0\.5"):
        Options(alpha=0.7)
    with pytest.raises(ValueError, match="unknown part 'seen'"):
        Options(part="seen")
