"""An LM that learns from a larger one, in ESPnet's LM task (one process)."""

import numpy as np
import pytest
import torch
import toy_lm_training
from toy_lm_training import K

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.export import export
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.packing import pack_units
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.utils.config import read_yaml, write_yaml

pytestmark = pytest.mark.slow  # importing espnet2.tasks takes 12-17 s


@pytest.fixture
def teacher(tmp_path):
    torch.manual_seed(0)
    EntropyLM(EntropyLMConfig(K, 32, 2, 2, 32, 64)).save(tmp_path / "teacher", "tok", {})
    return tmp_path / "teacher"


def build(teacher, weight, entropy_weight=0.0):
    from espnet_entropy.tasks.distilled_lm import DistilledLM
    from espnet_entropy.tasks.lm import ESPnetEntropyLM

    torch.manual_seed(1)
    lm = ESPnetEntropyLM(K + 1, width=16, layers=1, heads=2, ffn=16, context=64)
    torch.nn.init.normal_(lm.lm.head.weight, std=0.3)  # or every entropy would be near ln K
    return DistilledLM(lm, K + 1, 0, str(teacher), weight, entropy_weight)


TEXT = torch.tensor([[0, 1, 2, K, 3, 4, 1], [2, 2, 1, 0, -1, -1, -1]])
LENGTHS = torch.tensor([7, 4])


def test_the_loss_is_that_of_the_definition(teacher):
    """Line by line, without padding, in float64 from the two LMs' own logits."""
    for weight in (0.0, 0.3, 1.0):
        model = build(teacher, weight)
        loss, stats, tokens = model(TEXT.clamp_min(0), LENGTHS)
        nll, kl = [], []
        for line, length in zip(TEXT, LENGTHS, strict=True):
            row = torch.cat([torch.tensor([K]), line[:length]])[None]
            target = torch.cat([line[:length], torch.tensor([K])])
            log_p = model.lm.lm(row)[0].double().log_softmax(-1)
            log_q = EntropyLM.from_pretrained(teacher)(row)[0].double().log_softmax(-1)
            nll += [-log_p[i, t].item() for i, t in enumerate(target)]
            kl += (log_q.exp() * (log_q - log_p)).sum(-1).tolist()
        assert tokens == len(nll) == 13
        assert stats["nll"].item() == pytest.approx(np.mean(nll), rel=1e-5)
        assert stats["kl"].item() == pytest.approx(np.mean(kl), rel=1e-5)
        expected = weight * np.mean(kl) + (1 - weight) * np.mean(nll)
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_entropies_are_those_of_the_scorer(teacher):
    """What is trained is what is used: the scorer's own numbers, document by document."""
    model = build(teacher, 0.7, 0.5)
    loss, stats, _ = model(TEXT.clamp_min(0), LENGTHS)
    documents = [[0, 1, 2], [3, 4, 1], [2, 2, 1, 0]]
    small, large = (
        np.concatenate(EntropyScorer(lm.eval()).score_batch(documents)).astype(np.float64)
        for lm in (model.lm.lm, EntropyLM.from_pretrained(teacher))
    )
    gap = np.abs(small - large).mean()
    assert gap > 0.01
    assert stats["entropy_gap"].item() == pytest.approx(gap, rel=1e-4)
    plain = build(teacher, 0.7)(TEXT.clamp_min(0), LENGTHS)[0]
    assert (loss - plain).item() == pytest.approx(0.5 * gap, rel=1e-4)


def test_without_the_teacher_it_is_espnets_loss(teacher):
    from espnet2.lm.espnet_model import ESPnetLanguageModel

    model = build(teacher, 0.0)
    plain = ESPnetLanguageModel(model.lm, K + 1)
    text = TEXT.clamp_min(0)
    torch.testing.assert_close(model(text, LENGTHS)[0], plain(text, LENGTHS)[0])


def test_the_teacher_is_neither_trained_nor_saved(teacher):
    model = build(teacher, 1.0)
    model(TEXT.clamp_min(0), LENGTHS)[0].backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(name.startswith("lm.lm.") for name in model.state_dict())
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": 1.5}, "weight: expected 0 to 1, got 1.5"),
        ({"entropy_weight": -1.0}, "entropy_weight: expected 0 or more, got -1.0"),
        ({"teacher": ""}, "name the directory of an exported entropy LM"),
    ],
)
def test_wrong_settings_are_refused(teacher, change, message):
    with pytest.raises(ValueError, match=message):
        build(**({"teacher": teacher, "weight": 0.5} | change))


def test_a_training_ends_near_its_teacher(tmp_path, teacher):
    """Through the command; the student is exported as any other LM."""
    from espnet_entropy.bin.lm_train import main as lm_train

    toy_lm_training.make_units(tmp_path / "units")
    for name in ("train", "valid"):
        units = tmp_path / "units" / name / "units.scp"
        pack_units(units, tmp_path / "packed" / name, context=32)
    config = tmp_path / "train.yaml"
    config.write_text(
        toy_lm_training.CONFIG
        + f"model: distilled_lm\nmodel_conf: {{teacher: {teacher}, entropy_weight: 1.0}}\n"
    )
    exp = tmp_path / "exp"
    exp.mkdir()
    lm_train(toy_lm_training.options(config, tmp_path / "packed", exp))
    card = export(exp, exp / "export")
    taught = card.training["distilled"]
    assert (taught["weight"], taught["entropy_weight"]) == (1.0, 1.0)
    student, large = (EntropyLM.from_pretrained(p) for p in (exp / "export", teacher))
    fresh = EntropyLM(card.model)
    row = torch.tensor([[K, 0, 1, 2, 3, 4, 0, 1, 3, 4, 0, 2, 3]])

    def divergence(model):
        log_p, log_q = (m(row)[0].log_softmax(-1) for m in (model, large))
        return (log_q.exp() * (log_q - log_p)).sum(-1).mean().item()

    assert divergence(student) < 0.5 * divergence(fresh)

    # the same training does not go on with another teacher
    torch.manual_seed(5)
    EntropyLM(EntropyLMConfig(K, 32, 2, 2, 32, 64)).save(teacher, "tok", {})
    with pytest.raises(ValueError, match="begun with another teacher or other weights"):
        lm_train(toy_lm_training.options(config, tmp_path / "packed", exp))


@pytest.mark.parametrize(
    ("packed", "student", "message"),
    [
        ("other", {}, "knows the units of tokenizer tok, the lines are of other"),
        ("tok", {"context": 128}, "context 64 and dedup False, the student 128"),
        ("tok", {"dedup": True}, "expected at least the student's context, and the same dedup"),
    ],
)
def test_a_teacher_of_other_units_is_refused(tmp_path, teacher, packed, student, message):
    from espnet_entropy.tasks.distilled_lm import check_teacher

    config = EntropyLMConfig(K, **{"context": 64, **student})
    with pytest.raises(ValueError, match=message):
        check_teacher({"teacher": str(teacher)}, {"tokenizer": packed}, config, tmp_path)
    assert not (tmp_path / "teacher.yaml").exists()


def test_a_training_goes_on_with_the_same_weights_only(tmp_path, teacher):
    from espnet_entropy.tasks.distilled_lm import check_teacher

    def check(**weights):
        conf = {"teacher": str(teacher), **weights}
        check_teacher(conf, {"tokenizer": "tok"}, EntropyLMConfig(K, context=64), tmp_path)

    check()
    note = read_yaml(tmp_path / "teacher.yaml")
    with pytest.raises(ValueError, match="begun with another teacher or other weights"):
        check(entropy_weight=1.0)
    assert read_yaml(tmp_path / "teacher.yaml") == note
    # a note of before the entropies could be asked for
    del note["entropy_weight"]
    write_yaml(tmp_path / "teacher.yaml", note)
    with pytest.raises(ValueError, match="other weights"):
        check(entropy_weight=1.0)
    check()
