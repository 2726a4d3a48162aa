"""One network of which every candidate is a slice."""

from __future__ import annotations

import random

import pytest
import torch

from tvtfast.spaces import QKV_MODES
from tvtfast.spaces import get as get_space
from tvtfast.supernet import Subnets, Superformer, cut_out, fit_identity_probability, intervals

SHARING = ("ordinal", "bilateral", "cyclic")
FAMILIES = ("DEIT", "TWINS")
families = pytest.mark.parametrize("family", FAMILIES)


def superformer(small, family, **options):
    return Superformer(getattr(small, family), **small.OPTIONS, num_classes=5, **options)


def draws(space, count):
    return [space.draw(random.Random(seed)) for seed in range(count)]


@families
@pytest.mark.parametrize("sharing", SHARING)
def test_a_subnet_equals_the_module_cut_out(small, images, family, sharing):
    model = superformer(small, family, sharing=sharing).double().eval()
    for number, arch in enumerate(draws(model.space, 4)):
        for side in range(model.sides):
            module = cut_out(model, arch, side=side)
            with torch.no_grad():
                inside = model(images.double(), arch, side)
                torch.testing.assert_close(module(images.double()), inside, rtol=1e-12, atol=1e-12)
        assert {p.data_ptr() for p in module.parameters()}.isdisjoint(
            p.data_ptr() for p in model.parameters()
        ), number


@families
@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("mode", QKV_MODES)
def test_weights_are_the_channels_of_the_definition(small, family, sharing, mode):
    """Every slice against indexing channel by channel."""
    model = superformer(small, family, sharing=sharing, qkv_mode=mode)
    arch = draws(model.space, 1)[0]
    deit = family == "DEIT"
    heads, root = arch.num_heads[0], "blocks.0." if deit else "blocks.0.0."
    embed = arch.embed_dim if deit else arch.embed_dim[0]
    kind = "" if deit else f"{arch.attention[0]}/"
    qkv_name = f"{root}attn.qkv.weight"
    for side in range(model.sides):
        taken = model.weights(arch, side)

        def channels(widths, width, side=side):
            return list(intervals(widths, sharing)[width][side].channels)

        columns = channels(small.WIDTHS, embed)
        rows = channels((12, 18, 24), arch.qkv_dim[0] // 3)
        hidden = channels((20, 30, 40), arch.mlp_dim[0])
        flat = root.replace(".", "/")
        fc1 = model.stored[f"{flat}mlp/fc1/weight"]
        assert torch.equal(taken[f"{root}mlp.fc1.weight"], fc1[hidden][:, columns])
        assert torch.equal(
            taken[f"{root}norm1.weight"], model.stored[f"{flat}norm1/weight"][columns]
        )
        private = {0: "", 1: "v", 2: "qk"}[mode]
        parts = [
            model.stored[
                f"{f'heads{heads}/' if part in private else ''}{kind}{flat}attn/{part}/weight"
            ][rows][:, columns]
            for part in "qkv"
        ]
        if qkv_name in taken:
            assert torch.equal(taken[qkv_name], torch.cat(parts))
        else:
            assert torch.equal(taken[f"{root}attn.q.weight"], parts[0])
            assert torch.equal(taken[f"{root}attn.kv.weight"], torch.cat(parts[1:]))


@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("mode", QKV_MODES)
def test_fused_q_and_k_are_one_interval_of_the_released_weights(small, images, sharing, mode):
    """The released code: one weight of q and k (mode 0: and v), of which the first or the last
    rows are taken and divided into q, k and v."""
    model = superformer(small, "DEIT", sharing=sharing, qkv_mode=mode, fused_qk=True).eval()
    widths, names = (12, 18, 24), ("qkv",) if mode == 0 else ("qk", "v")
    for arch in draws(model.space, 3):
        width = arch.qkv_dim[0] // 3
        for side in range(model.sides):
            module = cut_out(model, arch, side=side)
            columns = list(intervals(small.WIDTHS, sharing)[arch.embed_dim][side].channels)
            rows = []
            for name in names:
                private = name == {1: "v", 2: "qk"}.get(mode)
                owner = f"heads{arch.num_heads[0]}/" if private else ""
                stored = model.stored[f"{owner}blocks/0/attn/{name}/weight"]
                count = len(name)
                assert stored.shape == (count * 24, small.WIDTHS[-1])
                if sharing == "cyclic":
                    ring = tuple(count * one for one in widths)
                    taken = list(intervals(ring, sharing)[count * width][side].channels)
                    rows.append(stored[taken][:, columns])
                elif side == 0:
                    rows.append(stored[: count * width][:, columns])
                else:
                    rows.append(stored[-count * width :][:, columns])
            expected = torch.cat(rows)
            assert torch.equal(module.blocks[0].attn.qkv.weight, expected)
            q, k, _ = expected.chunk(3)
            if sharing == "ordinal" and mode == 1:
                whole = model.stored["blocks/0/attn/qk/weight"][:, columns]
                assert torch.equal(q, whole[:width]) and torch.equal(k, whole[width : 2 * width])
            with torch.no_grad():
                assert torch.equal(module(images), model(images, arch, side)), "extraction"


def test_fused_q_and_k_are_kept_and_refused_elsewhere(small):
    apart, fused = (superformer(small, "DEIT", fused_qk=fused) for fused in (False, True))
    count = [sum(p.numel() for p in one.parameters()) for one in (apart, fused)]
    assert count[0] == count[1], "the same weights, cut otherwise"
    for space in (small.TWINS, "autoformer-tiny"):
        with pytest.raises(ValueError, match="has no fused q and k: .* leave fused_qk out"):
            Superformer(space, fused_qk=True)


def test_slices_are_views_where_channels_lie_side_by_side(small):
    for sharing in SHARING:
        model = superformer(small, "DEIT", sharing=sharing)
        storages = {p.untyped_storage().data_ptr() for p in model.parameters()}
        for arch in draws(model.space, 10):
            for name, taken in model.weights(arch).items():
                wraps = sharing == "cyclic" and (
                    arch.embed_dim == 18
                    or any(qkv == 54 for qkv in arch.qkv_dim)
                    or any(mlp == 30 for mlp in arch.mlp_dim)
                )
                if ".qkv." not in name and not wraps:
                    assert taken.untyped_storage().data_ptr() in storages, (sharing, name)


def test_head_counts_share_as_the_mode_says(small):
    """Which stored parameters two subnets that differ in heads alone have in common."""
    arch = draws(small.DEIT, 1)[0]
    for mode, private in ((0, set()), (1, {"v"}), (2, {"q", "k"})):
        model = superformer(small, "DEIT", qkv_mode=mode)
        used = []
        for heads in (2, 3):
            model.zero_grad()
            other = type(arch)(
                arch.patch_size,
                arch.embed_dim,
                (heads,) * arch.depth,
                arch.qkv_dim,
                arch.mlp_dim,
            )
            model(torch.ones(1, 3, 32, 32), other).sum().backward()
            used.append({n for n, p in model.named_parameters() if p.grad is not None})
        alone = {name.split("/attn/")[1].split("/")[0] for name in used[0] - used[1]}
        assert alone == private


def test_patch_sizes_have_tokens_and_positions_of_their_own(small, images):
    """Unlike in the released code, where all tokens get the last position."""
    model = superformer(small, "DEIT").eval()
    arch = draws(small.DEIT, 1)[0]
    tables = {
        patch: model.weights(
            type(arch)(patch, arch.embed_dim, arch.num_heads, arch.qkv_dim, arch.mlp_dim)
        )
        for patch in (14, 16, 32)
    }
    shapes = [tables[patch]["pos_embed"].shape[1] for patch in (14, 16, 32)]
    assert shapes == [1 + (32 // side) ** 2 for side in (7, 8, 16)]
    table = tables[16]["pos_embed"]
    assert len(table[0].unique(dim=0)) == table.shape[1]
    assert not torch.equal(tables[14]["cls_token"], tables[16]["cls_token"])


def test_both_sides_are_summed(small, images):
    model = superformer(small, "DEIT", sharing="bilateral").eval()
    arch = draws(small.DEIT, 1)[0]
    with torch.no_grad():
        both = model(images, arch)
        torch.testing.assert_close(both, model(images, arch, 0) + model(images, arch, 1))
    with pytest.raises(ValueError, match="has 1: give 0 to 0"):
        superformer(small, "DEIT").weights(arch, 1)


def test_only_the_sampled_slices_get_gradients(small):
    model = superformer(small, "DEIT", sharing="ordinal").train()
    narrow = type(small.DEIT.draw(random.Random(0)))(16, 12, (2,), (36,), (20,))
    model(torch.ones(1, 3, 32, 32), narrow).square().sum().backward()
    grad = model.stored["blocks/0/mlp/fc1/weight"].grad
    assert grad[:20, :12].any() and not grad[20:].any() and not grad[:, 12:].any()
    assert model.stored["blocks/1/mlp/fc1/weight"].grad is None


def test_bfloat16_runs_under_autocast(small, images):
    model = superformer(small, "TWINS").eval()
    arch = draws(small.TWINS, 1)[0]
    with torch.no_grad():
        exact = model(images, arch)
        with torch.autocast("cpu", torch.bfloat16):
            close = model(images, arch)
    assert (close.float() - exact).abs().max() < 0.05 * exact.abs().max() + 0.02


def test_subnets_depend_on_seed_and_step_alone(small):
    subnets = Subnets(small.DEIT, 7)
    assert subnets(3) == Subnets(small.DEIT, 7)(3)
    assert len({subnets(step) for step in range(30)}) > 20
    assert [subnets(step) for step in range(9)] != [Subnets(small.DEIT, 8)(s) for s in range(9)]


@pytest.mark.parametrize("name", ("vitas-deit", "vitas-twins"))
def test_identity_probability_meets_the_budget(name):
    space = get_space(name)
    rng = random.Random(0)
    archs = [space.draw_active(rng, 0.47) for _ in range(300)]
    middle = float(space.paths(archs).flops.mean())
    probability = fit_identity_probability(space, (0.97 * middle, 1.03 * middle))
    assert 0.42 <= probability <= 0.5


def test_budgets_that_cannot_be_met(small):
    options = {**small.OPTIONS, "num_classes": 5}
    with pytest.raises(ValueError, match="no identity probability gives random subnets"):
        fit_identity_probability(small.DEIT, (0, 1e4), **options)
    with pytest.raises(ValueError, match=r"widen the window or move it"):
        fit_identity_probability(small.DEIT, (200_000, 200_001), **options)
    with pytest.raises(ValueError, match="is empty"):
        fit_identity_probability(small.DEIT, (2, 1))


def test_spaces_and_options_without_a_superformer(small):
    with pytest.raises(ValueError, match="there is no superformer for space 'pit'"):
        Superformer("pit")
    with pytest.raises(ValueError, match="qkv_mode is 3; allowed: 0, 1, 2"):
        superformer(small, "DEIT", qkv_mode=3)
    with pytest.raises(ValueError, match="sharing is 'cycle'"):
        superformer(small, "DEIT", sharing="cycle")
    with pytest.raises(ValueError, match="no distillation token"):
        superformer(small, "DEIT", distilled=True)
