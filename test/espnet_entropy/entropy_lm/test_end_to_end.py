"""Attention of documents: both layouts against a slow reference, and the fused call's place.

The fused kernel needs a GPU. Here an operator of the same signature stands in for it, opaque to
the compiler as the real one is, and the real one is called with tensors that hold no data.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode

from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.end_to_end import TILE, EndToEnd
from espnet_entropy.entropy_lm.layout import Layout, arrange
from espnet_entropy.entropy_lm.model import EntropyLM

K, H, SIZE = 11, 3, 8
LENGTHS = [5, 1, 30, 7, 29, 12]
CUDA = torch.device("cuda")


def slow_attention(q, k, v, starts, scale, grad=None):
    """(T, H, d) each, document by document, with the scores written out, in float64.

    The output; or the gradients of q, k and v, if that of the output is given.
    """
    found = []
    for begin, end in pairwise(starts):
        a, b, c = (x[begin:end].double().transpose(0, 1) for x in (q, k, v))
        scores = scale * a @ b.transpose(1, 2)
        later = torch.ones(end - begin, end - begin).triu(1).bool()
        p = scores.masked_fill(later, -math.inf).softmax(-1)
        if grad is None:
            found.append([p @ c])
            continue
        g = grad[begin:end].double().transpose(0, 1)
        back = g @ c.transpose(1, 2)
        back = scale * p * (back - (back * p).sum(-1, keepdim=True))
        found.append([back @ b, back.transpose(1, 2) @ a, p.transpose(1, 2) @ g])
    whole = [torch.cat([x.transpose(0, 1) for x in part]) for part in zip(*found, strict=True)]
    return [x.to(q.dtype).contiguous() for x in whole]


@torch.library.custom_op("espnet_entropy_test::varlen", mutates_args={})
def varlen(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, starts: torch.Tensor, most: int, scale: float
) -> torch.Tensor:
    assert starts.dtype == torch.int32
    assert starts.diff().max() <= most
    return slow_attention(q, k, v, starts.tolist(), scale)[0]


@torch.library.custom_op("espnet_entropy_test::varlen_backward", mutates_args={})
def varlen_backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    starts: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(slow_attention(q, k, v, starts.tolist(), scale, grad))


def save(ctx, inputs, output):
    q, k, v, starts, _, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, starts)


varlen.register_fake(lambda q, k, v, starts, most, scale: torch.empty(q.shape, dtype=q.dtype))
varlen_backward.register_fake(
    lambda grad, q, k, v, starts, scale: tuple(
        torch.empty(x.shape, dtype=x.dtype) for x in (q, k, v)
    )
)
varlen.register_autograd(
    lambda ctx, grad: (*varlen_backward(grad, *ctx.saved_tensors, ctx.scale), None, None, None),
    setup_context=save,
)


@pytest.fixture
def fused(monkeypatch) -> None:
    """What a GPU with 16-bit products would choose, with the stand-in in the kernel's place."""

    def stand_in(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size):
        assert window_size == (-1, 0)
        assert cu_seq_q is cu_seq_k
        return varlen(query, key, value, cu_seq_q, max_q, scale)

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", stand_in)
    monkeypatch.setattr(EndToEnd, "fits", lambda *_: True)


def make_lm() -> EntropyLM:
    torch.manual_seed(0)
    model = EntropyLM(EntropyLMConfig(K, width=32, layers=3, heads=4, ffn=48, context=512))
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data.mul_(6.0)
    return model


def rows(seed: int, count: int = 3, length: int = 50) -> torch.Tensor:
    ids = np.random.default_rng(seed).integers(0, K, (count, length))
    ids[0, [7, 8, 40]] = K
    return torch.from_numpy(ids)


@pytest.mark.parametrize("kind", [Layout, EndToEnd])
def test_attention_is_that_of_the_documents_alone(kind, fused):
    layout = kind(LENGTHS, "cpu")
    flat = torch.randn(3, sum(LENGTHS), H, SIZE, dtype=torch.float64)
    wanted = slow_attention(*flat, [0, *np.cumsum(LENGTHS).tolist()], 0.3)[0]
    if kind is Layout:  # spread as the ids are
        places = flat.new_zeros(3, len(layout.positions), H, SIZE)
        places[:, layout.index] = flat
        flat = places
    out = layout.attend(*flat.transpose(1, 2).unsqueeze(1), 0.3)
    torch.testing.assert_close(layout.gather(out[0]), wanted, atol=1e-12, rtol=0)


def test_documents_end_to_end_need_no_padding():
    layout = EndToEnd(LENGTHS, "cpu")
    assert layout.starts.tolist() == [0, 5, 6, 36, 43, 72, 84]
    assert layout.positions.tolist() == [i for n in LENGTHS for i in range(n)]
    assert layout.longest == TILE
    assert EndToEnd([TILE + 1, 3], "cpu").longest == 2 * TILE


def test_the_model_is_the_same_in_both_layouts(fused):
    lm, ids = make_lm(), rows(0)
    goal = torch.roll(ids, -1, 1).flatten()
    F.cross_entropy(lm(ids).flatten(0, 1), goal).backward()
    got = lm(ids).detach(), {n: p.grad.clone() for n, p in lm.named_parameters()}
    lm.zero_grad()
    with pytest.MonkeyPatch.context() as other:
        other.setattr(EndToEnd, "fits", lambda *_: False)
        logits = lm(ids)
    F.cross_entropy(logits.flatten(0, 1), goal).backward()
    torch.testing.assert_close(got[0], logits.detach(), atol=1e-5, rtol=1e-5)
    for name, weight in lm.named_parameters():
        scale = weight.grad.abs().max()
        torch.testing.assert_close(got[1][name] / scale, weight.grad / scale, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_one_compiled_graph_serves_all_layers_and_sizes(fused):
    lm, counter = make_lm().requires_grad_(False), CompileCounterWithBackend("eager")
    batches = [
        rows(seed, count, length)
        for seed, (count, length) in enumerate([(3, 50), (2, 300), (5, 140), (1, 41)])
    ]
    plain = [lm(ids) for ids in batches]
    names = list(lm.state_dict())
    torch._dynamo.reset()
    lm.backbone.compile_layers(counter)
    for ids, wanted in zip(batches, plain, strict=True):
        torch.testing.assert_close(lm(ids), wanted, atol=1e-5, rtol=1e-5)
    assert counter.frame_count == 1
    assert list(lm.state_dict()) == names


@pytest.mark.slow
def test_compiled_layers_learn_the_same(fused):
    lm, ids = make_lm(), rows(1)
    found = []
    for compiled in (False, True):
        if compiled:
            torch._dynamo.reset()
            lm.backbone.compile_layers("aot_eager")
        lm.zero_grad()
        F.cross_entropy(lm(ids).flatten(0, 1), torch.roll(ids, -1, 1).flatten()).backward()
        found.append([p.grad.clone() for p in lm.parameters()])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain, atol=1e-5 * plain.abs().max().item(), rtol=0)


def test_what_lies_in_rectangles_is_not_compiled():
    lm, counter = make_lm(), CompileCounterWithBackend("eager")
    lm.backbone.compile_layers(counter)
    lm(rows(2))
    assert counter.frame_count == 0


def test_the_kernel_is_called_as_this_torch_wants_it():
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        layout = EndToEnd.__new__(EndToEnd)
        layout.starts, layout.longest = torch.zeros(4, dtype=torch.int32), 128
        made = torch.empty(3, 1, H, 70, SIZE, dtype=torch.bfloat16, requires_grad=True)
        out = layout.attend(*made, 0.3)
        assert (out.shape, out.dtype, out.device.type) == ((1, 70, H, SIZE), made.dtype, "cuda")


@pytest.mark.parametrize(
    ("device", "dtype", "size", "major", "fits"),
    [
        (CUDA, torch.bfloat16, 64, 9, True),
        (CUDA, torch.float16, 64, 8, True),
        (CUDA, torch.bfloat16, 64, 7, False),
        (CUDA, torch.float32, 64, 9, False),
        (CUDA, torch.bfloat16, 20, 9, False),
        (torch.device("cpu"), torch.bfloat16, 64, 9, False),
    ],
)
def test_the_fused_kernel_is_taken_where_it_exists(monkeypatch, device, dtype, size, major, fits):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    assert EndToEnd.fits(device, dtype, size) == fits


def test_elsewhere_documents_lie_in_rectangles():
    assert isinstance(arrange([3, 2], torch.device("cpu"), torch.bfloat16, 64), Layout)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("compiled", [False, True])
def test_on_a_gpu(compiled):
    lm, ids = make_lm(), rows(3, 4, 64)
    wanted = lm(ids).log_softmax(-1)
    lm = lm.cuda().cast("bfloat16")
    if compiled:
        lm.backbone.compile_layers()
    got = lm(ids.cuda()).float().log_softmax(-1).cpu()
    assert (got - wanted).abs().mean() < 0.05 * wanted.abs().mean()
