"""DSS and nuclear norms against loops in fp64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import tvtfast
from tvtfast import proxies, spaces
from tvtfast.models import UnsupportedModelError
from tvtfast.proxies import UndefinedScoreError
from tvtfast.proxies.nuclear_norms import known_nuclear_norms, nuclear_norms, tolerance


def candidate(space, seed=0):
    smallest = min(spaces.get(space).sample(20, 0), key=spaces.get(space).params)
    return tvtfast.build(smallest, space=space, img_size=32, patch_size=8, seed=seed).double()


def published(module):
    """As released: every tensor of the state made absolute, one backward, layers by their names."""
    module = copy.deepcopy(module).eval()
    for tensor in module.state_dict().values():
        tensor.abs_()
    module(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().backward()
    score = 0.0
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        weight, gradient = layer.weight.detach(), layer.weight.grad
        if gradient is None:
            continue
        if "qkv" in name or weight.shape[0] == weight.shape[1]:
            score += (
                np.linalg.svd(gradient, compute_uv=False).sum()
                * np.linalg.svd(weight, compute_uv=False).sum()
            ).item()
        else:
            score += (gradient * weight).abs().sum().item()
    return score


@pytest.mark.parametrize("space", [pytest.param("autoformer-tiny", marks=pytest.mark.slow), "pit"])
def test_score_is_the_published_one(space):
    module = candidate(space)
    expected = published(module)
    assert proxies.dss(module, img_size=32).item() == pytest.approx(expected, rel=1e-10)
    assert proxies.dss(module.float(), img_size=32).item() == pytest.approx(expected, rel=1e-4)


def test_a_callers_network_stays_as_it_was():
    module = candidate("pit").train()
    module.head.weight.requires_grad_(False)
    module.head.bias.grad = torch.ones_like(module.head.bias)
    before = copy.deepcopy(module.state_dict())
    proxies.dss(module, img_size=32)
    assert module.training and not module.head.weight.requires_grad
    assert module.head.bias.grad.eq(1).all() and module.stages[0][0].mlp.fc1.weight.grad is None
    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())


class Attends(nn.Module):
    """Attention as torch has it, between two linear layers."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(12, 4)
        self.attn = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        x = self.embed(images.flatten(1)[:, None].unflatten(2, (-1, 12))[:, 0])
        return self.head(self.attn(x, x, x)[0].mean(1))


def test_projections_of_multihead_attention_are_attention():
    module = Attends().double()
    leaves = {n: p.detach().abs().requires_grad_() for n, p in module.named_parameters()}
    images = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    torch.func.functional_call(module, leaves, images).sum().backward()
    nuclear = [leaves["attn.in_proj_weight"], leaves["attn.out_proj.weight"]]
    expected = sum(
        (torch.linalg.svdvals(w.detach()).sum() * torch.linalg.svdvals(w.grad).sum()).item()
        for w in nuclear
    )
    expected += sum(
        (leaves[n] * leaves[n].grad).abs().sum().item() for n in ("embed.weight", "head.weight")
    )
    assert proxies.dss(module, img_size=4).item() == pytest.approx(expected, rel=1e-10)


def test_what_has_no_score_says_why():
    with pytest.raises(UnsupportedModelError, match="Sequential has no attention weights"):
        proxies.dss(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), img_size=4)
    module = candidate("pit")
    with torch.no_grad():
        module.head.weight[0, 0] = torch.inf
    with pytest.raises(UndefinedScoreError, match="NaN or infinite"):
        proxies.dss(module, img_size=32)


def test_nuclear_norms_of_any_shapes():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 5), (5, 3), (3, 5), (1, 1), (4, 4)]
    matrices = [torch.randn(shape, generator=generator) for shape in shapes]
    expected = [torch.linalg.svd(m.double())[1].sum().item() for m in matrices]
    assert nuclear_norms(matrices).tolist() == pytest.approx(expected, rel=1e-6)
    exact = nuclear_norms([m.double() for m in matrices])
    assert exact.dtype == torch.float64 and exact.tolist() == pytest.approx(expected, rel=1e-12)
    half = nuclear_norms([matrices[0].bfloat16()])
    assert half.item() == pytest.approx(expected[0], rel=0.02)
    with pytest.raises(ValueError, match="there is no matrix"):
        nuclear_norms([])
    with pytest.raises(ValueError, match=r"matrix 1 has shape \[3\]"):
        nuclear_norms([matrices[0], torch.zeros(3)])


def low_rank(shape, rank, noise, dtype=torch.float32):
    generator = torch.Generator().manual_seed(rank)
    rows, columns = (
        torch.randn(side, rank, generator=generator, dtype=torch.float64) for side in shape
    )
    rest = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (rows @ columns.T + noise * rest).to(dtype)


@pytest.mark.parametrize("shape", [(70, 90), (90, 70), (64, 64)])
@pytest.mark.parametrize(
    ("rank", "noise"), [(1, 0), (3, 0), (16, 0), (3, 1e-6), (3, 1e-2), (20, 0)]
)
def test_matrices_of_low_rank_and_those_that_only_seem_so(shape, rank, noise):
    matrix = low_rank(shape, rank, noise)
    expected = torch.linalg.svdvals(matrix.double()).sum().item()
    # the bound of the subspace, and the rounding of as many singular values
    bound = tolerance(torch.float32) + min(shape) * torch.finfo(torch.float32).eps
    assert nuclear_norms([matrix]).item() == pytest.approx(expected, rel=bound)


def test_a_subspace_is_taken_where_it_is_enough(monkeypatch):
    seen = []
    svdvals = torch.linalg.svdvals
    monkeypatch.setattr(
        torch.linalg, "svdvals", lambda x: seen.append(tuple(x.shape)) or svdvals(x)
    )
    matrices = [low_rank((80, 90), 3, 0), low_rank((80, 90), 3, 1e-2), low_rank((80, 90), 3, 0)]
    norms = nuclear_norms(matrices)
    assert seen.count((16, 90)) == 3 and seen.count((1, 80, 90)) == 1
    assert norms[0] == norms[2]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_sizes_at_the_ends_of_fp32(scale):
    matrix = low_rank((80, 90), 3, 1e-3)
    found = nuclear_norms([matrix, matrix * scale])
    assert (found[1] / found[0]).item() == pytest.approx(scale, rel=1e-4)


def test_known_norms_are_computed_once_and_are_those_of_their_matrix():
    known = {}
    one, other = low_rank((80, 90), 20, 0), low_rank((80, 90), 21, 0)
    first = known_nuclear_norms([one, other, one.clone()], known)
    assert len(known) == 2 and first[0] == first[2] != first[1]
    assert first.tolist() == nuclear_norms([one, other, one]).tolist()
    for key in known:
        known[key] = 7.0
    assert known_nuclear_norms([one.mT.contiguous().mT, other], known).tolist() == [7.0, 7.0]
    assert known_nuclear_norms([one.double()], known).item() == pytest.approx(first[0].item())


def test_candidates_that_share_weights_have_the_scores_they_have_alone():
    space = spaces.get("pit")
    archs = space.sample(3, 0)
    together = tvtfast.score(archs, space=space, proxies="dss", img_size=32)["dss"]
    for arch, found in zip(archs, together, strict=True):
        module = tvtfast.build(arch, space=space, img_size=32).double()
        assert found == pytest.approx(published(module), rel=1e-4)
