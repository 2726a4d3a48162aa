"""ViTAS candidates against timm's networks, and identity shifting on weights."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import tvtfast
from tvtfast import spaces
from tvtfast.models import VitasDeit, VitasTwins
from tvtfast.models.vitas_twins import WindowAttention
from tvtfast.spaces import StageChoices, VitasDeitSpace, VitasTwinsSpace

DEIT = spaces.get("vitas-deit")
TWINS = spaces.get("vitas-twins")
CASES = [
    (DEIT, {"img_size": 32, "patch_size": 8}),
    (DEIT, {"img_size": (48, 32), "patch_size": 8, "distilled": True, "num_classes": 7}),
    (TWINS, {"img_size": 64, "patch_size": 8}),
    (TWINS, {"img_size": (72, 96), "patch_size": 16, "distilled": True, "num_classes": 7}),
]
cases = pytest.mark.parametrize(("space", "options"), CASES)

BOTH = ("local", "global")


def twins(dims, depths, heads):
    """A network of timm's in a space of its own: local and global attention in turns."""
    stages = zip(dims, depths, heads, strict=True)
    space = VitasTwinsSpace(
        "timm-twins",
        tuple(
            StageChoices((dim,), depth, BOTH, (head,), (3 * dim,), (4 * dim,))
            for dim, depth, head in stages
        ),
    )
    columns = {"attention": BOTH * (sum(depths) // 2)}
    for name, factor, values in (
        ("num_heads", 1, heads),
        ("qkv_dim", 3, dims),
        ("mlp_dim", 4, dims),
    ):
        columns[name] = [
            factor * v for v, depth in zip(values, depths, strict=True) for _ in range(depth)
        ]
    return space, space.decode({"embed_dim": dims, "depth": depths, **columns})


def unbuilt(arch, space, options):
    """The module without memory."""
    kind = VitasDeit if isinstance(arch, spaces.VitasDeitArch) else VitasTwins
    with torch.device("meta"):
        return kind(arch, space, spaces.ModelOptions.of(**options)).eval()


def counted(model, size):
    counter = FlopCounterMode(display=False)
    images = torch.zeros(1, 3, *size, device=next(model.parameters()).device)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(images)
    return counter.get_total_flops()


@cases
def test_closed_form_counts_equal_the_built_model(space, options):
    for seed in range(5):
        arch = space.sample(1, seed)[0]
        model = unbuilt(arch, space, options)
        assert sum(p.numel() for p in model.parameters()) == space.params(arch, **options)
        assert counted(model, model.options.img_size) == space.flops(arch, **options)


def test_twins_has_the_counts_of_timm():
    space, arch = twins((64, 128, 256, 512), (2, 2, 10, 4), (2, 4, 8, 16))
    with torch.device("meta"):
        theirs = timm.create_model("twins_svt_small").eval()
    assert space.params(arch, 1000) == sum(p.numel() for p in theirs.parameters())
    assert space.flops(arch, num_classes=1000) == counted(theirs, (224, 224))
    assert theirs.state_dict().keys() == unbuilt(arch, space, {}).state_dict().keys()


def test_twins_computes_what_timm_does():
    widths, depths, heads = (8, 16, 24, 32), (2, 2, 2, 2), (1, 2, 3, 4)
    space, arch = twins(widths, depths, heads)
    theirs = timm.models.twins.Twins(
        num_classes=10, embed_dims=widths, num_heads=heads, depths=depths, wss=(7,) * 4
    ).eval()
    ours = tvtfast.build(arch, space=space, num_classes=10)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_windows_with_padding_are_those_of_timm():
    ours = WindowAttention(12, 3, 4, 7)
    theirs = timm.models.twins.LocallyGroupedAttn(12, 3, ws=7)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 10 * 16, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x, (10, 16)), theirs(x, (10, 16)), rtol=1e-5, atol=1e-6)


def test_deit_is_that_of_timm():
    space = VitasDeitSpace("deit", (16,), (192,), 12, 12, (3,), (576,), (768,))
    ours = tvtfast.build(space.sample(1)[0], space=space, img_size=64, num_classes=10)
    theirs = timm.create_model("deit_tiny_patch16_224", img_size=64, num_classes=10).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_a_genotype_computes_what_its_canonical_form_does():
    """The blocks of a genotype where they stand, identities between them, with equal weights."""
    blocks = [4, 1, 4, 4, 0, 3, 4, 2, *[4] * 8]
    genotype = [1, *blocks, 0, 0, 2, *([3, 1] * 16)]
    model = tvtfast.build(genotype, space=DEIT, img_size=32, patch_size=8, num_classes=5)
    active = iter(model.blocks)
    slots = [next(active) if block != 4 else None for block in blocks]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        model.blocks = nn.ModuleList(slot or Nothing() for slot in slots)
        assert torch.equal(model(images), expected)
    assert model.arch.depth == 4


class Nothing(nn.Module):
    """An identity block."""

    def forward(self, x, grid):
        return x


def test_distillation_token_and_its_head():
    arch = DEIT.sample(1)[0]
    options = {"img_size": 32, "patch_size": 8, "num_classes": 5, "distilled": True}
    model = tvtfast.build(arch, space=DEIT, **options)
    model.set_distilled_training()
    logits, distilled = model.train()(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 5) and not distilled.any()


SMALL_DEIT = VitasDeitSpace("small-deit", (14, 16, 32), (12, 24), 4, 1, (2, 3), (36, 72), (24, 48))
SMALL_TWINS = VitasTwinsSpace(
    "small-twins", (StageChoices((12, 24), 3, BOTH, (2, 3), (36, 72), (24, 48)),) * 4
)
small = pytest.mark.parametrize("space", (SMALL_DEIT, SMALL_TWINS), ids=lambda space: space.name)


@small
def test_candidates_train_and_differentiate(space):
    arch = space.sample(1)[0]
    model = tvtfast.build(arch, space=space, img_size=32, patch_size=4, distilled=True).train()
    torch.manual_seed(0)
    model(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@small
def test_they_are_searched_like_all_others(space, tmp_path):
    teacher = tvtfast.initialize_(tvtfast.models.CifarResNet(8, 10))
    result = tvtfast.search(
        space,
        strategy="random",
        trials=6,
        proxies=("tvt",),
        teacher=tvtfast.load_teacher(teacher, input_size=32),
        images=torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        num_classes=10,
        patch_size=4,
        device="cpu",
        run_dir=tmp_path,
    )
    assert not result.table.trouble() and (tmp_path / "report.html").exists()
