"""torch.compile of what computes: one graph, equal outputs and gradients, new lengths."""

import shutil

import pytest
import torch
from test_cale import POOLINGS, VARIANTS, batch, make

from espnet_entropy.cale.ragged import Ragged


def check_compiled(name: str, backend: str, device: str = "cpu") -> None:
    torch._dynamo.reset()
    model = make(name, layers=1).to(device)
    compiled = torch.compile(model.encode, fullgraph=True, dynamic=True, backend=backend)
    for seed, lengths in enumerate(([30, 10, 20], [44, 8])):
        units, group_ids, sizes = (x.to(device) for x in batch(lengths, seed))
        ragged = Ragged.of(group_ids, sizes)
        flat = ragged.flatten(units)
        wanted = model.encode(flat, ragged)
        got = compiled(flat, ragged)
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
        weight = torch.randn_like(wanted)
        pair = [
            torch.autograd.grad((x * weight).sum(), list(model.parameters())) for x in (got, wanted)
        ]
        for a, b in zip(*pair, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4 * float(b.abs().max()) + 1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        # dynamo alone: where gradients of Functions got lost (attention.py, _weighted_sum)
        ("paper_exact", "eager"),
        ("time", "aot_eager"),
        ("window", "aot_eager"),
        ("attention", "aot_eager"),
        ("max", "aot_eager"),
    ],
)
def test_one_graph_with_compiled_gradients(name, backend):
    """Traced forward and backward, without the code generator, which takes a minute."""
    check_compiled(name, backend)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
def test_generated_code_on_the_cpu():
    check_compiled("paper_exact", "inductor")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("name", ["time", "window", "paper_exact", "attention"])
def test_generated_code_on_cuda(name):
    check_compiled(name, "inductor", "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("name", [*VARIANTS, *POOLINGS])
def test_cuda_equals_the_cpu(name):
    model, given = make(name), batch([40, 1, 90])
    wanted, _ = model(*given)
    got, _ = model.cuda()(*(x.cuda() for x in given))
    torch.testing.assert_close(got.cpu(), wanted, atol=1e-3, rtol=1e-3)
