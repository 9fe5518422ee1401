"""``features: phones`` through the commands of a recipe, on a corpus made here."""

import kaldiio
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from espnet_entropy.bin import fit_quantizer, tokenize
from espnet_entropy.corpora.alignment import Interval, write_ctm
from espnet_entropy.evaluation.phone_frames import frame_phones, phone_names
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.config import read_yaml

LABELS = ["aa", "b", "d", "e", "i", "k", "o", "s", "t", "u"]


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "raw/train")


def make_data(path, utterances=80, seed=0):
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    phones, samples = {}, {}
    for i in range(utterances):
        edges = np.cumsum([0, *rng.uniform(0.04, 0.16, 25)]).round(4)
        labels = ["SIL", *rng.choice(LABELS, 23), "SIL"]
        spans = zip(edges, edges[1:], labels, strict=False)
        phones[f"s{i % 5}-u{i:03d}"] = [Interval(a, b, label) for a, b, label in spans]
        samples[f"s{i % 5}-u{i:03d}"] = int(16_000 * edges[-1])
    phones, samples = dict(sorted(phones.items())), dict(sorted(samples.items()))
    write_ctm(path / "ctm.phones", phones)
    for name, value in (
        ("wav.scp", lambda utt: f"/nowhere/{utt}.flac"),  # audio is never opened
        ("utt2num_samples", lambda utt: samples[utt]),
        ("utt2spk", lambda utt: utt.split("-")[0]),
    ):
        (path / name).write_text("".join(f"{utt} {value(utt)}\n" for utt in samples))
    return path


def fit(tmp_path, data, pnmi, **damage):
    conf = tmp_path / "tokenizer.yaml"
    conf.write_text(f"features: phones\nfeatures_conf: {{pnmi: {pnmi}, damage: {damage}}}\n")
    args = ["--config", str(conf), "--data", str(data), "--out", str(tmp_path / "tokenizer")]
    for job in ("1", "2"):  # as the recipe calls it: pieces first, which have nothing to do
        fit_quantizer.main([*args, "--job", job, "--nj", "2"])
    fit_quantizer.main(args)
    return tmp_path / "tokenizer"


def units_of(tmp_path, model, data, nj=2):
    out = tmp_path / "units" / data.name
    args = ["--model", str(model), "--data", str(data), "--out", str(out)]
    for job in range(1, nj + 1):
        tokenize.main([*args, "--job", str(job), "--nj", str(nj)])
    tokenize.main([*args, "--merge"])
    return dict(kaldiio.load_scp(str(out / "units.scp")))


def pnmi_of(data, units):
    """By scikit-learn, of all frames."""
    from espnet_entropy.evaluation.unit_pass import read_alignments

    phones = read_alignments(data)["phones"]
    names = phone_names(phones.values())
    truth = np.concatenate([frame_phones(phones[u], len(units[u]), names) for u in units])
    made = np.concatenate(list(units.values()))
    return mutual_info_score(truth, made) / mutual_info_score(truth, truth)


@pytest.mark.parametrize("pnmi", [1.0, 0.8, 0.5])
def test_the_pnmi_is_what_was_asked(tmp_path, data, pnmi):
    model = fit(tmp_path, data, pnmi)
    units = units_of(tmp_path, model, data)
    assert len(units) == 80
    assert pnmi_of(data, units) == pytest.approx(pnmi, abs=0.01)
    assert read_yaml(model / "quantizer.yaml")["pnmi"] == pytest.approx(pnmi, abs=0.005)


def test_another_corpus_is_damaged_as_much(tmp_path, data):
    model = fit(tmp_path, data, 0.7)
    other = make_data(tmp_path / "raw/test", seed=1)
    assert pnmi_of(other, units_of(tmp_path, model, other)) == pytest.approx(0.7, abs=0.05)


def test_the_number_of_jobs_does_not_matter(tmp_path, data):
    model = fit(tmp_path, data, 0.7)
    once, again = (units_of(tmp_path / str(nj), model, data, nj) for nj in (1, 3))
    assert once.keys() == again.keys()
    for utt, units in once.items():
        np.testing.assert_array_equal(units, again[utt])


def test_a_model_directory_knows_itself_again(tmp_path, data):
    model = fit(tmp_path, data, 0.8)
    tokenizer = Tokenizer.from_pretrained(model)
    assert tokenizer.num_clusters == 2 * (len(LABELS) + 1)
    tokenizer.save(tmp_path / "copy", with_model=True)
    assert Tokenizer.from_pretrained(tmp_path / "copy").fingerprint == tokenizer.fingerprint


def test_audio_has_no_such_units(tmp_path, data):
    tokenizer = Tokenizer.from_pretrained(fit(tmp_path, data, 1.0))
    for call in (tokenizer, lambda wav: tokenizer.batch([wav]), lambda wav: tokenizer.stream()):
        with pytest.raises(ValueError, match="made of a corpus's alignment"):
            call(np.zeros(16_000, dtype=np.float32))


def test_a_pnmi_that_the_damage_does_not_reach_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"pnmi 0\.5 is below 0\.\d+, what this damage comes to"):
        fit(tmp_path, data, 0.5, confusion=0, speaker=0, jitter=0.01)


def test_an_alignment_is_needed(tmp_path, data):
    (data / "ctm.phones").unlink()
    with pytest.raises(ValueError, match=r"features 'phones' need ctm\.phones"):
        fit(tmp_path, data, 0.8)


def test_an_utterance_without_phones_is_named_and_skipped(tmp_path, data, caplog):
    model = fit(tmp_path, data, 1.0)
    lines = (data / "ctm.phones").read_text().splitlines(keepends=True)
    lost = lines[0].split()[0]
    (data / "ctm.phones").write_text("".join(x for x in lines if not x.startswith(lost + " ")))
    units = units_of(tmp_path, model, data)
    assert lost not in units
    assert len(units) == 79
    assert lost in caplog.text


def test_another_alignment_is_not_taken_for_the_same(tmp_path, data):
    fit(tmp_path, data, 0.8)
    fit(tmp_path, data, 0.8)  # finished: nothing to do
    text = (data / "ctm.phones").read_text()
    (data / "ctm.phones").write_text(text.replace(" aa", " b"))
    with pytest.raises(ValueError, match="another configuration or corpus"):
        fit(tmp_path, data, 0.8)


def test_never_fitted_features_are_refused():
    from espnet_entropy.tokenizer.features import build_features

    with pytest.raises(ValueError, match="lack names and strength"):
        build_features("phones", {"pnmi": 0.8})
    with pytest.raises(ValueError, match="pnmi: expected more than 0"):
        build_features("phones", {"pnmi": 0})
    with pytest.raises(ValueError, match="Did you mean 'damage'"):
        build_features("phones", {"damag": {}})
