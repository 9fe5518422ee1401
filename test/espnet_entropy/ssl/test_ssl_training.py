import dataclasses
import json

import numpy as np
import pytest
import torch
from toy_speech import PHONES, UNITS_PER_PHONE, toy_set

from espnet_entropy.evaluation.align_ctc import force_align
from espnet_entropy.ssl import targets as targets_module
from espnet_entropy.ssl.batches import DeviceSet, aligned_phones
from espnet_entropy.ssl.config import TrainingConfig
from espnet_entropy.ssl.objectives import ctc_loss, greedy_phones, phone_errors, phone_loss
from espnet_entropy.ssl.targets import (
    Targets,
    cluster_frames,
    layer_frames,
    layer_targets,
    mfcc_targets,
    packed_mfcc,
    pnmi,
)
from espnet_entropy.ssl.trainer import Trainer, learning_rate
from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.mel_ctc_head import BLANK, HEAD, CTCHead
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_model_dir import WEIGHTS, load_encoder, save_encoder

ENCODER = MelEncoderConfig(width=24, layers=2, heads=2, ffn=48, kernel=5)
BASE = TrainingConfig(
    encoder=ENCODER, steps=40, eval_every=20, max_units=300, projection=16, peak_rate=5e-3
)
TRAIN, VALID = toy_set(24, 1), toy_set(8, 2)
KMEANS = KMeansConfig(num_clusters=4)


@pytest.fixture(scope="module")
def targets():
    return mfcc_targets(TRAIN, VALID, KMEANS)


def config(**changes):
    return dataclasses.replace(BASE, **changes)


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_clusters_of_mfcc_are_the_phones(targets):
    assert targets.about["pnmi"] > 0.8
    assert packed_mfcc(TRAIN).shape == (TRAIN.units.sum(), 39)
    known = TRAIN.aligned.astype(int)
    assert pnmi(known, TRAIN, 4) == pytest.approx(1)
    assert pnmi(np.zeros_like(known), TRAIN, 4) == pytest.approx(0)


def test_targets_are_kept_with_their_sets(targets, tmp_path):
    targets.save(tmp_path / "t")
    again = Targets.load(tmp_path / "t")
    assert (again.key, again.about) == (targets.key, targets.about)
    with pytest.raises(ValueError, match="made for other packed sets"):
        again.check(VALID, TRAIN)
    (tmp_path / "t").write_bytes(b"x")
    with pytest.raises(ValueError, match="no readable targets"):
        Targets.load(tmp_path / "t")


def test_hidden_units_become_predictable_but_not_at_random(targets, tmp_path):
    """Half a phone of context tells the cluster of short spans; shuffled targets tell nothing."""
    shuffled = np.random.default_rng(0).permutation(targets.train)
    found = {}
    for name, train in (("true", targets.train), ("shuffled", shuffled)):
        mixed = dataclasses.replace(targets, train=train)
        options = config(mask_span=2, mask_start=0.15, steps=80, eval_every=80)
        Trainer(options, TRAIN, VALID, tmp_path / name, mixed).run()
        found[name] = log(tmp_path / name)[-1]
    entropy = -sum(p * np.log(p) for p in np.bincount(targets.valid) / len(targets.valid))
    assert found["true"]["valid"]["nats"] < 0.75 * entropy
    assert found["true"]["valid"]["accuracy"] > 0.6
    assert found["shuffled"]["valid"]["nats"] > 0.95 * entropy


def test_slices_end_where_one_run_ends(targets, tmp_path):
    options = config(ctc_weight=0.5, phone_weight=0.5, steps=9, eval_every=4)
    whole = Trainer(options, TRAIN, VALID, tmp_path / "whole", targets)
    assert whole.run()
    slices = 0
    while not Trainer(options, TRAIN, VALID, tmp_path / "cut", targets).run(max_minutes=0):
        slices += 1
    assert slices >= 6  # one update each, and none where a look ended the training
    for name in ("weights.9.safetensors", "best.safetensors", f"model/{WEIGHTS}", f"model/{HEAD}"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    for first, second in zip(log(tmp_path / "whole"), log(tmp_path / "cut"), strict=True):
        assert {**first, "seconds": 0} == {**second, "seconds": 0}
        valid = first["valid"]
        assert valid["score"] == pytest.approx((valid["per"] + valid["phone_error"]) / 2)
    assert Trainer(options, TRAIN, VALID, tmp_path / "cut", targets).run()  # nothing left to do


def test_another_training_or_damage_is_refused(targets, tmp_path):
    Trainer(config(steps=1), TRAIN, VALID, tmp_path, targets).run()
    with pytest.raises(ValueError, match="another configuration or other data"):
        Trainer(config(steps=2), TRAIN, VALID, tmp_path, targets)
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(ValueError, match="remove"):
        Trainer(config(steps=1), TRAIN, VALID, tmp_path, targets)


def test_a_state_from_elsewhere_runs_nothing(targets, tmp_path):
    from wrong_inputs import Bomb

    torch.save({"progress": Bomb(tmp_path / "boom")}, tmp_path / "state.pt")
    with pytest.raises(ValueError, match="not readable"):
        Trainer(config(), TRAIN, VALID, tmp_path, targets)
    assert not (tmp_path / "boom").exists()


def test_phones_are_learned_from_labels_alone(tmp_path):
    """No targets, and utterances without labels are left out."""
    options = config(
        masked_weight=0.0, ctc_weight=1.0, mask_start=0.0, steps=100, eval_every=50, max_units=200
    )
    Trainer(options, TRAIN, VALID, tmp_path, None).run()
    assert log(tmp_path)[-1]["valid"]["per"] < 0.1
    best = layer_targets(TRAIN, VALID, tmp_path / "model", KMeansConfig(num_clusters=12)).about
    assert best["pnmi"] > 0.7
    check_alignment(tmp_path / "model")


def check_alignment(model):
    """What was written beside the encoder finds the phones of the valid set in time."""
    encoder, layer = load_encoder(model)
    head = CTCHead.load(model)
    assert head.labels == [BLANK, *PHONES]
    frames = np.split(layer_frames(VALID, encoder, layer, "cpu"), np.cumsum(VALID.units)[:-1])
    phones = np.split(VALID.labels.astype(int) + 1, np.cumsum(VALID.label_lengths)[:-1])
    inside = []
    for x, tokens in zip(frames, phones, strict=True):
        for i, (begin, end) in enumerate(force_align(head.log_probs(x), tokens.tolist(), 0)):
            inside.append(begin < (i + 1) * UNITS_PER_PHONE and end > i * UNITS_PER_PHONE)
    assert np.mean(inside) > 0.9, np.mean(inside)


def test_aligned_phones_are_learned_by_their_names(tmp_path):
    """The valid set counts its phones in another order, and has one that train lacks."""
    order = ["SIL", "c", "b", "a", "x"]
    valid = dataclasses.replace(VALID, aligned_names=order)
    valid.aligned = np.array([0, 3, 2, 1], np.uint8)[VALID.aligned]
    valid.aligned[::7] = 4
    np.testing.assert_array_equal(
        aligned_phones(valid, TRAIN.aligned_names),
        np.where(np.arange(len(valid.aligned)) % 7 == 0, -1, VALID.aligned.astype(int)),
    )
    options = config(
        masked_weight=0.0, phone_weight=1.0, mask_start=0.0, steps=60, eval_every=30, max_units=200
    )
    Trainer(options, TRAIN, valid, tmp_path).run()
    assert log(tmp_path)[-1]["valid"]["phone_error"] < 0.05
    blind = toy_set(8, 2, aligned=False)
    with pytest.raises(ValueError, match="phone_weight: the valid set"):
        Trainer(options, TRAIN, blind, tmp_path / "blind")


def test_the_loss_of_aligned_phones_is_their_mean_over_known_units():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[0.0, 3.0]] * 3])
    phones = torch.tensor([[0, 1, -1], [-1, -1, 0]])
    nats = [np.log1p(np.exp(-2)), np.log(2), np.log1p(np.exp(3))]
    loss, sums = phone_loss(logits, phones)
    assert float(loss) == pytest.approx(np.mean(nats))
    assert float(sums["phone_nats"]) == pytest.approx(np.sum(nats))
    assert (int(sums["phone_hits"]), int(sums["aligned"])) == (1, 3)
    nothing, sums = phone_loss(logits, torch.full_like(phones, -1))
    assert (float(nothing), int(sums["aligned"])) == (0, 0)


def test_an_epoch_has_what_one_of_the_objectives_can_use(tmp_path):
    """Every third utterance has phones, every second an alignment."""
    packed = toy_set(12, 0)
    keep = np.repeat(np.arange(12) % 3 == 0, packed.label_lengths)
    packed.labels, packed.label_lengths = packed.labels[keep], packed.label_lengths.copy()
    packed.label_lengths[np.arange(12) % 3 != 0] = 0
    packed.aligned[np.repeat(np.arange(12) % 2 == 1, packed.units)] = 255
    for weights, expected in (
        ({"ctc_weight": 1.0}, {0, 3, 6, 9}),
        ({"phone_weight": 1.0}, {0, 2, 4, 6, 8, 10}),
        ({"ctc_weight": 1.0, "phone_weight": 1.0}, {0, 2, 3, 4, 6, 8, 9, 10}),
    ):
        options = config(masked_weight=0.0, mask_start=0.0, **weights)
        trainer = Trainer(options, packed, VALID, tmp_path / str(len(expected)))
        assert set(np.concatenate(trainer._plan(trainer.train_set, 0, 0))) == expected


def test_the_layer_with_the_highest_pnmi_is_taken(tmp_path):
    torch.manual_seed(0)
    encoder = MelEncoder(ENCODER)
    save_encoder(encoder, tmp_path)
    found = layer_targets(TRAIN, VALID, tmp_path, KMEANS).about
    assert found["layers"].keys() == {"1", "2"}
    assert found["pnmi"] == max(found["layers"].values()) == found["layers"][str(found["layer"])]
    blind = toy_set(8, 2, aligned=False)
    with pytest.raises(ValueError, match="name one layer"):
        layer_targets(TRAIN, blind, tmp_path, KMEANS)
    assert np.isnan(layer_targets(TRAIN, blind, tmp_path, KMEANS, [1]).about["pnmi"])
    with pytest.raises(ValueError, match=r"expected 0\.\.2"):
        layer_targets(TRAIN, VALID, tmp_path, KMEANS, [3])


def test_frames_of_a_set_are_those_of_each_utterance(tmp_path):
    torch.manual_seed(0)
    save_encoder(MelEncoder(ENCODER), tmp_path)
    encoder, _ = load_encoder(tmp_path)
    found = layer_frames(VALID, encoder, 1, "cpu")
    begin = frames = 0
    for n in VALID.units:
        levels = torch.from_numpy(VALID.levels[frames : frames + 2 * n - 1])[None]
        alone = encoder(levels, torch.tensor([n]))[1][0]
        np.testing.assert_allclose(found[begin : begin + n], alone, atol=2e-5)
        begin, frames = begin + n, frames + 2 * n - 1


def test_a_training_begins_with_another_ones_encoder(targets, tmp_path):
    torch.manual_seed(5)
    encoder = MelEncoder(ENCODER)
    save_encoder(encoder, tmp_path / "first")
    options = config(init=str(tmp_path / "first"))
    trainer = Trainer(options, TRAIN, VALID, tmp_path / "second", targets)
    begun = trainer.trainee.encoder.state_dict()
    for name, weight in encoder.state_dict().items():
        torch.testing.assert_close(begun[name], weight.half().float())
    other = dataclasses.replace(options, encoder=dataclasses.replace(ENCODER, width=32))
    with pytest.raises(ValueError, match="expected those of this training"):
        Trainer(other, TRAIN, VALID, tmp_path / "third", targets)


def test_what_is_missing_is_named(targets, tmp_path):
    with pytest.raises(ValueError, match="needs targets"):
        Trainer(config(), TRAIN, VALID, tmp_path)
    with pytest.raises(ValueError, match="made for other"):
        Trainer(config(), VALID, TRAIN, tmp_path, targets)
    silent = toy_set(3, 0, labelled=False)
    with pytest.raises(ValueError, match="the valid set has no text"):
        Trainer(config(masked_weight=0.0, ctc_weight=1.0), TRAIN, silent, tmp_path)
    for wrong in (
        {"masked_weight": 0.0},
        {"masked_weight": -1.0},
        {"mask_start": 0.0},
        {"dropout": 1.0},
        {"steps": 0},
        {"peak_rate": 0.0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            config(**wrong)


def test_the_rate_rises_and_falls():
    options = config(steps=100, warmup=0.1, peak_rate=1.0)
    rates = [learning_rate(options, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert np.argmax(rates) in (9, 10)
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001


def test_ctc_counts_labelled_utterances_only():
    packed = toy_set(3, 0)
    packed.labels = packed.labels[packed.label_lengths[0] :]
    packed.label_lengths[0] = 0
    batch = DeviceSet(packed).batch(np.arange(3))
    logits = torch.randn(3, int(batch.lengths.max()), 5)
    loss, sums = ctc_loss(logits, batch)
    alone = 0.0
    of_each = torch.split(batch.labels, batch.label_lengths[1:].tolist())
    for row, labels in zip((1, 2), of_each, strict=True):
        n = batch.lengths[row]
        alone += torch.nn.functional.ctc_loss(
            logits[row, :n].log_softmax(-1), labels, n, torch.tensor(len(labels)), reduction="sum"
        )
    assert float(sums["ctc_nats"]) == pytest.approx(float(alone), rel=1e-5)
    assert float(loss) == pytest.approx(float(alone) / len(packed.labels), rel=1e-5)
    assert phone_errors(logits, batch) > 0


def test_best_path():
    path = torch.tensor([[0, 1, 1, 0, 1, 2, 2, 3], [2, 2, 0, 0, 3, 3, 3, 3]])
    logits = torch.nn.functional.one_hot(path, 4).float()
    assert greedy_phones(logits, torch.tensor([7, 4])) == [[1, 1, 2], [2]]


@pytest.mark.parametrize(("frames", "sampled"), [(100, 100), (101, 51), (199, 100), (201, 67)])
def test_no_more_frames_are_clustered_than_allowed(frames, sampled, monkeypatch):
    seen = []
    real = targets_module.fit_kmeans

    def fit(found, *args, **kwargs):
        seen.append(len(found))
        return real(found, *args, **kwargs)

    monkeypatch.setattr(targets_module, "fit_kmeans", fit)
    made = np.random.default_rng(0).normal(size=(frames, 3)).astype(np.float32)
    _, found = cluster_frames([made, made[:5]], KMeansConfig(num_clusters=4, max_frames=100))
    assert seen == [sampled]
    assert [len(one) for one in found] == [frames, 5]
