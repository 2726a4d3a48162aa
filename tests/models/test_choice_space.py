"""Spaces of a user's own that are lists of choices and a model."""

from __future__ import annotations

import pickle
import random
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.models import AutoFormer, CandidateModel, SpatialFeatures, choice_space, count_flops
from tvtfast.spaces import AutoFormerArch, PerBlock

OPTIONS = {"img_size": 16, "patch_size": 4, "num_classes": 10}
TINY = replace(
    spaces.get("autoformer-tiny"),
    name="tiny",
    hidden_dims=(12, 24),
    depths=(1, 2),
    head_counts=(3,),
)
seeds = st.integers(min_value=0, max_value=2**32)


@dataclass(frozen=True)
class HybridArch:
    """Convolutions and attention."""

    width: int
    depth: int
    kind: tuple[str, ...]
    gated: bool
    tail: tuple[int, ...]


CHOICES = {
    "width": (16, 8),
    "depth": [0, 1, 2],
    "kind": PerBlock(["convolution", "attention"]),
    "gated": (False, True),
    "tail": PerBlock((1, 2), blocks=1),
}


class Block(nn.Module):
    """One of two kinds of mixing, and maybe a gate."""

    def __init__(self, width, kind, gated, grid):
        super().__init__()
        self.grid = grid
        self.conv = nn.Conv2d(width, width, 3, padding=1) if kind == "convolution" else None
        self.attn = None if self.conv else nn.MultiheadAttention(width, 2, batch_first=True)
        self.gate = nn.Parameter(torch.ones(width)) if gated else 1.0

    def forward(self, x):
        if self.conv is not None:
            return x + self.gate * self.conv(x.mT.unflatten(2, self.grid)).flatten(2).mT
        return x + self.gate * self.attn(x, x, x, need_weights=False)[0]


class Hybrid(CandidateModel):
    """Patches, the blocks, and as many linear layers as the tail says."""

    def __init__(self, arch, space, options):
        super().__init__(options, None)
        self.grid = options.patch_grid()
        width, patch = arch.width, options.patch_size
        self.patch_embed = nn.Conv2d(options.in_chans, width, patch, patch)
        kinds = (*arch.kind, "convolution")
        self.blocks = nn.ModuleList(Block(width, kind, arch.gated, self.grid) for kind in kinds)
        self.norm = nn.LayerNorm(width)
        self.tail = nn.Sequential(*(nn.Linear(width, width) for _ in range(sum(arch.tail))))
        self.head = nn.Linear(width, options.num_classes)

    def block_features(self, images):
        x = self.patch_embed(images).flatten(2).mT
        for block in self.blocks:
            x = block(x)
            yield SpatialFeatures(x, self.grid)

    def pool(self, tokens):
        pooled, distilled = self.patch_pool(self.norm, tokens)
        return self.tail(pooled), distilled


HYBRID = tvtfast.ChoiceSpace("hybrid", HybridArch, CHOICES, Hybrid)


def hybrid_flops(arch, options):
    """By hand: 16 tokens, two FLOPs per multiply-add."""
    width, tokens = arch.width, (options.img_size[0] // options.patch_size) ** 2
    total = tokens * options.in_chans * options.patch_size**2 * width
    for kind in (*arch.kind, "convolution"):
        if kind == "attention":
            total += tokens * 4 * width**2 + 2 * tokens**2 * width
        else:
            total += tokens * 9 * width**2
    return 2 * (total + sum(arch.tail) * width**2 + width * options.num_classes)


def hybrid_params(arch, options):
    width = arch.width
    total = width * (options.in_chans * options.patch_size**2 + 1) + 2 * width
    for kind in (*arch.kind, "convolution"):
        total += 4 * (width**2 + width) if kind == "attention" else 9 * width**2 + width
        total += width if arch.gated else 0
    return total + sum(arch.tail) * (width**2 + width) + (width + 1) * options.num_classes


def build_tiny(arch, space, options):
    return AutoFormer(arch, TINY, options)


def as_choices(space):
    """A space of AutoFormer, as its lists alone say it."""
    choices = {
        "hidden_dim": space.hidden_dims,
        "depth": space.depths,
        "num_heads": PerBlock(space.head_counts),
        "mlp_ratio": PerBlock(space.mlp_ratios),
    }
    return tvtfast.ChoiceSpace(space.name, AutoFormerArch, choices, build_tiny)


def test_it_is_the_space_that_somebody_wrote_by_hand():
    made = as_choices(TINY)
    assert made.size == TINY.size == 2 * (2 + 4)
    assert made.variables == TINY.variables
    assert set(made.enumerate()) == set(TINY.enumerate())
    for arch in TINY.sample(3, 0):
        assert made.choices_of(arch) == TINY.choices_of(arch)
        assert made.encode(arch) == TINY.encode(arch)
        assert made.params(arch, **OPTIONS) == TINY.params(arch, **OPTIONS)
        assert made.flops(arch, **OPTIONS) == TINY.flops(arch, **OPTIONS)
    for metric in ("params", "flops", "macs"):
        assert made.feasible_range(metric, **OPTIONS) == TINY.feasible_range(metric, **OPTIONS)
    wide = spaces.get("autoformer-tiny")
    assert as_choices(wide).size == wide.size and not as_choices(wide).enumerable
    assert as_choices(wide).variables == wide.variables


@settings(max_examples=30, deadline=None)
@given(seed=seeds)
def test_variation_stays_inside_and_encodings_come_back(seed):
    rng = random.Random(seed)
    first, second = HYBRID.draw(rng), HYBRID.draw(rng)
    child = HYBRID.crossover(first, second, rng)
    for arch in (first, child, HYBRID.mutate(first, rng, prob=0.5)):
        assert HYBRID.contains(arch) and len(arch.kind) == arch.depth
        assert HYBRID.decode(HYBRID.encode(arch)) == HYBRID.decode(HYBRID.to_dict(arch)) == arch
        assert HYBRID.from_choices(HYBRID.choices_of(arch)) == arch
    for block, kind in enumerate(child.kind):
        assert kind in {parent.kind[block] for parent in (first, second) if block < parent.depth}
    assert HYBRID.mutate(first, rng, prob=0.0) == HYBRID.crossover(first, first, rng) == first
    kept = HYBRID.mutate(first, rng, prob=0.0, size_prob=1.0)
    common = min(first.depth, kept.depth)
    assert kept.kind[:common] == first.kind[:common] and kept.tail == first.tail


def test_listing_and_drawing_have_every_architecture():
    every = HYBRID.enumerate()
    assert len(set(every)) == HYBRID.size == 2 * 2 * 2 * (1 + 2 + 4)
    assert set(HYBRID.sample(HYBRID.size, 0)) == set(every)
    rng = random.Random(0)
    assert {HYBRID.draw(rng) for _ in range(800)} == set(every)


def test_counts_are_those_of_the_model():
    for arch in HYBRID.sample(4, 1):
        resolved = spaces.ModelOptions.of(**OPTIONS)
        module = tvtfast.build(arch, space=HYBRID, **OPTIONS)
        flops = HYBRID.flops(arch, **OPTIONS)
        assert (
            flops == hybrid_flops(arch, resolved) == count_flops(module, torch.ones(1, 3, 16, 16))
        )
        assert HYBRID.params(arch, **OPTIONS) == hybrid_params(arch, resolved)
        assert HYBRID.macs(arch, **OPTIONS) == flops // 2
    assert torch.backends.mha.get_fastpath_enabled()


def test_counting_leaves_the_generator_of_torch():
    before = torch.get_rng_state()
    tvtfast.ChoiceSpace("again", HybridArch, CHOICES, Hybrid).check_options(**OPTIONS)
    assert torch.equal(before, torch.get_rng_state())


def test_closed_forms_are_compared_with_the_model_once(monkeypatch):
    space = tvtfast.ChoiceSpace(
        "closed", HybridArch, CHOICES, Hybrid, params=hybrid_params, flops=hybrid_flops
    )
    arch = HYBRID.sample(1, 3)[0]
    params, ends = HYBRID.params(arch, **OPTIONS), HYBRID.feasible_range("flops", **OPTIONS)
    assert space.params(arch, **OPTIONS) == params
    monkeypatch.setattr(choice_space, "blank", None)  # no further model is built
    assert space.flops(arch, **OPTIONS) == hybrid_flops(arch, spaces.ModelOptions.of(**OPTIONS))
    assert space.feasible_range("flops", **OPTIONS) == ends


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"params": lambda arch, options: 7}, r"params of \{.*\} are 7 by the function given, and"),
        (
            {"params": hybrid_params, "flops": lambda *given: hybrid_flops(*given) // 2},
            r"flops of \{.*by the model; correct it, or leave flops out",
        ),
        (
            # right for the first and the last of all choices
            {"flops": lambda arch, options: hybrid_flops(replace(arch, tail=(1,)), options)},
            "flops of",
        ),
    ],
)
def test_a_lie_about_counts_is_refused(stated, message):
    space = tvtfast.ChoiceSpace("lie", HybridArch, CHOICES, Hybrid, **stated)
    with pytest.raises(ValueError, match=message):
        tvtfast.score(space.sample(1), space=space, proxies=["params"], **OPTIONS)


def test_ends_of_a_large_space_are_found_choice_by_choice(monkeypatch):
    expected = {metric: HYBRID.feasible_range(metric, **OPTIONS) for metric in ("params", "flops")}
    monkeypatch.setattr(choice_space, "_SPANNED", 0)
    large = tvtfast.ChoiceSpace("hybrid", HybridArch, CHOICES, Hybrid)
    for metric, ends in expected.items():
        assert large.feasible_range(metric, **OPTIONS) == ends
    with pytest.raises(tvtfast.InfeasibleError, match="the space spans params"):
        large.sample(1, constraints={"params": 100}, **OPTIONS)


def test_a_search_of_it_and_windows():
    window = {"params": (None, 2_000)}
    result = tvtfast.search(
        HYBRID, proxies=["weight_norm"], constraints=window, images="digits", **OPTIONS
    )
    assert len(result.table) == len(HYBRID.enumerate(window, **OPTIONS))
    assert result.best == max(
        result.table.candidates,
        key=lambda arch: float(
            tvtfast.proxies.weight_norm(tvtfast.build(arch, space=HYBRID, **OPTIONS))
        ),
    )
    assert HYBRID.satisfies(result.best, window, **OPTIONS)


def test_a_student_of_a_space_that_no_folder_could_name_is_refused_before_it_is_trained(tmp_path):
    arch = HYBRID.sample(1)[0]
    with pytest.raises(ValueError, match=r"'hybrid' is not registered.*spaces\.register\(space\)"):
        tvtfast.distill.distill(arch, "digits", space=HYBRID, output_dir=tmp_path)


def test_two_spaces_of_one_type_have_their_own_models():
    class Other(Hybrid):
        """The same, by another name."""

    other = tvtfast.ChoiceSpace("other", HybridArch, CHOICES, Other)
    arch = HYBRID.sample(1)[0]
    assert type(tvtfast.build(arch, space=HYBRID, **OPTIONS)) is Hybrid
    assert type(tvtfast.build(arch, space=other, **OPTIONS)) is Other
    assert other != HYBRID and other != "other" and hash(other) != hash(HYBRID)
    assert pickle.loads(pickle.dumps(HYBRID)) == HYBRID
    assert repr(HYBRID).startswith("ChoiceSpace('hybrid', HybridArch, {'width': (16, 8)")


def test_values_of_numpy_and_json_become_the_choices():
    given = HybridArch(np.int64(8), 1.0, np.array(["attention"]), np.bool_(True), [np.int32(2)])
    arch = HYBRID.decode(given)
    assert arch == HybridArch(8, 1, ("attention",), True, (2,))
    kinds = (type(arch.width), type(arch.depth), type(arch.kind[0]), type(arch.gated))
    assert kinds == (int, int, str, bool)
    assert HYBRID.text(arch) == (
        '{"depth":1,"gated":true,"kind":["attention"],"tail":[2],"width":8}'
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 9}, "hybrid: width is 9; allowed: 16, 8"),
        ({"gated": 1}, "gated is 1; allowed: False, True"),
        ({"kind": ["attention"] * 2}, r"kind is .*; give one per block, 1"),
        ({"kind": "attention"}, "kind is 'attention'; give one per block, 1"),
        ({"tail": [3]}, r"tail\[0\] is 3; allowed: 1, 2"),
        ({"colour": 1}, "unknown: colour"),
    ],
)
def test_other_architectures_are_refused(changed, message):
    fields = asdict(HybridArch(8, 1, ("attention",), True, (2,))) | changed
    with pytest.raises(ValueError, match=message):
        HYBRID.decode(fields)


class Loose:
    """No dataclass."""


@dataclass
class Thawed:
    """Not frozen."""

    width: int


@pytest.mark.parametrize(
    ("arch_type", "choices", "error", "message"),
    [
        (Loose, {"width": (1,)}, TypeError, r"give a class with @dataclass\(frozen=True\)"),
        (Thawed, {"width": (1,)}, TypeError, r"give a class with @dataclass\(frozen=True\)"),
        (HybridArch, {"width": (1,)}, ValueError, "choices are of width, and the fields of Hybrid"),
        (HybridArch, CHOICES | {"width": ()}, ValueError, r"choices of width are \(\); give"),
        (HybridArch, CHOICES | {"width": "16"}, ValueError, "choices of width are '16'; give"),
        (HybridArch, CHOICES | {"width": (8, 8.0)}, ValueError, "width has the choice 8.0 twice"),
        (
            HybridArch,
            CHOICES | {"width": (8, float("nan"))},
            ValueError,
            "width has the choice nan",
        ),
        (HybridArch, CHOICES | {"width": (nn.ReLU,)}, ValueError, "give numbers, text, truth"),
        (
            HybridArch,
            CHOICES | {"kind": PerBlock("ab", blocks="gated")},
            ValueError,
            "choices of kind are 'ab'",
        ),
        (
            HybridArch,
            CHOICES | {"kind": PerBlock(["a"], blocks="gated")},
            ValueError,
            "blocks of kind is 'gated'; give a number of blocks",
        ),
        (HybridArch, CHOICES | {"kind": PerBlock(["a"], "deep")}, ValueError, "blocks of kind is"),
        (HybridArch, CHOICES | {"kind": PerBlock(["a"], -1)}, ValueError, "blocks of kind is -1"),
    ],
)
def test_choices_that_make_no_space(arch_type, choices, error, message):
    with pytest.raises(error, match=message):
        tvtfast.ChoiceSpace("own", arch_type, choices, Hybrid)


class Peeking(Hybrid):
    """A model that looks at values."""

    def pool(self, tokens):
        return super().pool(tokens * float(tokens.mean().item() > 0))


def test_a_model_that_needs_values_is_told_to_state_its_flops():
    with pytest.raises(ValueError, match=r"cannot be counted on the meta device.*flops=\.\.\."):
        tvtfast.ChoiceSpace("peeking", HybridArch, CHOICES, Peeking).check_options(**OPTIONS)
