"""Products in bfloat16: how far the entropies move, and what stays float32."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.model import EntropyLM, wide_product
from espnet_entropy.entropy_lm.scorer import EntropyScorer

K = 50
# A factor is off by at most 2^-9 of itself, a sum of many such products by about that share of its
# root mean square. Logits of that size 1, after the handful of products that depend on each other
# in three random layers (which damp nothing), are off by 0.01 or so, entropies by no more, and
# the worst of 400 by a few times that.
TOLERANCE = 0.05  # nats


@pytest.fixture(scope="module")
def lms(tmp_path_factory) -> dict[str, EntropyLM]:
    """One model in both types; its predictions vary."""
    torch.manual_seed(0)
    model = EntropyLM(EntropyLMConfig(K, width=64, layers=3, heads=4, ffn=96, context=64))
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data.mul_(8.0)
    path = tmp_path_factory.mktemp("lm")
    model.save(path, "tok", {})
    return {name: EntropyLM.from_pretrained(path, dtype=name) for name in ("float32", "bfloat16")}


def utterances() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, K, n) for n in (1, 20, 64, 65, 150, 64, 33)]


def test_entropies_move_by_rounding_alone(lms):
    wide, narrow = (
        np.concatenate(EntropyScorer(lm).score_batch(utterances())) for lm in lms.values()
    )
    assert wide.std() > 0.2
    assert narrow.dtype == np.float32
    error = np.abs(narrow - wide)
    assert 1e-4 < error.mean() < TOLERANCE / 5
    assert error.max() < TOLERANCE


@pytest.mark.parametrize("batch_units", [1, 100])
def test_alone_in_a_batch_and_as_a_stream_they_are_the_same(lms, batch_units):
    many = utterances()
    together = EntropyScorer(lms["bfloat16"]).score_batch(many)
    apart = EntropyScorer(lms["bfloat16"], batch_units).score_batch(many)
    for units, one, other in zip(many, together, apart, strict=True):
        stream = EntropyScorer(lms["bfloat16"]).stream()
        pieces = [stream.push(units[i : i + 7]) for i in range(0, len(units), 7)]
        np.testing.assert_allclose(other, one, atol=TOLERANCE)
        np.testing.assert_allclose(np.concatenate(pieces), one, atol=TOLERANCE)


def test_only_the_products_are_narrow(lms):
    lm = lms["bfloat16"]
    found = {name: weight.dtype for name, weight in lm.named_parameters()}
    narrow = {name for name, dtype in found.items() if dtype == torch.bfloat16}
    assert {name for name in found if "proj" in name or "head" in name} == narrow
    assert set(found.values()) == {torch.bfloat16, torch.float32}
    assert lm.backbone.frequencies.dtype == torch.float32
    assert lm.hidden(torch.zeros(5, dtype=torch.long), [5]).dtype == torch.float32
    assert lm.fingerprint == lms["float32"].fingerprint
    assert (lm.dtype, lms["float32"].dtype) == (torch.bfloat16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert lms["float32"].dtype == torch.bfloat16


def test_logits_are_not_rounded():
    left, right = (torch.randn(shape).bfloat16() for shape in ((3, 40), (40, 5)))
    wanted = left.double() @ right.double()
    torch.testing.assert_close(wide_product(left, right).double(), wanted, atol=1e-5, rtol=0)
    with FakeTensorMode(), torch.device("cuda"):  # as this torch wants it called there
        left, right = torch.empty(3, 40).bfloat16(), torch.empty(5, 40).bfloat16()
        assert wide_product(left, right.T).dtype == torch.float32


def test_another_type_is_named(lms):
    with pytest.raises(ValueError, match="unknown dtype 'float16'; expected one of float32, bfl"):
        lms["float32"].cast("float16")
