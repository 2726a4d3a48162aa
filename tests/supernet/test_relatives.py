"""Candidates that begin alike, computed together."""

from __future__ import annotations

import random
import sqlite3
import weakref

import pytest
import torch

import tvtfast
from tvtfast.proxies import Proxy
from tvtfast.spaces import QKV_MODES
from tvtfast.supernet import InheritedAccuracy, Superformer
from tvtfast.supernet.folder import SuperformerCard, TrainedSuperformer
from tvtfast.supernet.inherited import _TOGETHER
from tvtfast.supernet.intervals import SHARING
from tvtfast.supernet.relatives import Relatives

families = pytest.mark.parametrize("family", ("DEIT", "TWINS"))


def relatives_of(space, count, *, seed=0):
    """Draws with mutants and children of theirs, a repeated one and, in another order, them all."""
    rng = random.Random(seed)
    archs = [space.draw(rng) for _ in range(count)]
    archs += [space.mutate(rng.choice(archs), rng, prob=0.1, size_prob=0.1) for _ in range(count)]
    archs += [space.crossover(*rng.sample(archs, 2), rng) for _ in range(count)]
    archs.append(archs[0])
    rng.shuffle(archs)
    return archs


@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("mode", QKV_MODES)
@pytest.mark.parametrize(("family", "patch_size"), (("DEIT", 4), ("DEIT", 8), ("TWINS", 8)))
def test_logits_are_bitwise_those_of_each_alone(small, images, family, sharing, mode, patch_size):
    """With ``patch_size=4`` the searched sizes 14 and 16 give equal grids of different weights."""
    model = Superformer(
        getattr(small, family),
        sharing=sharing,
        qkv_mode=mode,
        img_size=32,
        patch_size=patch_size,
        num_classes=5,
    ).eval()
    archs = relatives_of(model.space, 3)
    tree = Relatives(model, archs)
    met = []
    with torch.no_grad():
        for side in range(model.sides):
            for rows, logits in tree.logits(images, side):
                met += rows
                for row in rows:
                    assert torch.equal(logits, model(images, archs[row], side))
    assert sorted(met) == sorted([*range(len(archs))] * model.sides)


def test_what_is_common_is_computed_once(small, images):
    """Two draws of 12 that differ in the last block, and the first of them cut short."""
    space = small.DEIT
    arch = type(space.draw(random.Random(0)))
    long = arch(16, 24, (2, 2), (36, 54), (20, 20))
    other = arch(16, 24, (2, 3), (36, 54), (20, 20))
    short = arch(16, 24, (2,), (36,), (20,))
    wider = arch(16, 18, (2,), (36,), (20,))
    model = Superformer(space, num_classes=5, **small.OPTIONS).eval()
    calls = []
    run = model.run_link
    model.run_link = lambda x, *where: calls.append(where[:2]) or run(x, *where)
    tree = Relatives(model, [long, other, short, wider, long])
    with torch.no_grad():
        found = [rows for rows, _ in tree.logits(images)]
    assert sorted(found) == [[0, 4], [1], [2], [3]]
    assert len(calls) == len(tree) == 2 + 2 + 2  # stem and block twice, and two second blocks


@families
def test_no_more_activations_are_held_than_a_path_has_branches(small, images, family):
    model = Superformer(getattr(small, family), num_classes=5, **small.OPTIONS).eval()
    archs = relatives_of(model.space, 8)
    made, held = [], []
    run = model.run_link

    def counting(x, *where):
        after = run(x, *where)
        made.append(weakref.ref(after))
        held.append(sum(ref() is not None for ref in made))
        return after

    model.run_link = counting
    with torch.no_grad():
        for _ in Relatives(model, archs).logits(images):
            pass
    deepest = max(len(model.space.genes(arch)) for arch in archs)
    assert max(held) <= deepest + 1 < len(made) / 2


@pytest.fixture(scope="module")
def inherited(small):
    model = Superformer(small.DEIT, sharing="bilateral", num_classes=10, **small.OPTIONS).eval()
    part = small.part("test", 30)
    card = SuperformerCard(
        space=small.DEIT.name,
        model_options={},
        sharing="bilateral",
        qkv_mode=2,
        identity_probability=None,
        reference={},
        normalization=part.normalization,
        classes=None,
        dataset="digits",
        accuracy=0.0,
        recipe={},
    )
    return InheritedAccuracy(TrainedSuperformer(model, card), part)


def test_accuracies_of_many_are_those_of_each(small, inherited):
    archs = relatives_of(small.DEIT, 8)
    found = {}
    for some in inherited.of_many(archs):
        assert len(some) <= _TOGETHER and not found.keys() & some.keys()
        found |= some
    model = inherited.superformer.model
    ((images, labels),) = inherited.images
    with torch.no_grad():
        for place, arch in enumerate(archs):
            hits = [int((model(images, arch, side).argmax(1) == labels).sum()) for side in (0, 1)]
            assert found[place] == 100 * sum(hits) / 60
    assert list(inherited.of_many([])) == []
    one_side = list(inherited.of_many(archs[:2], side=1))
    assert one_side == [{place: inherited(archs[place], side=1) for place in one_side[0]}]


def scorer(small, proxy, **options):
    return tvtfast.Scorer(
        space=small.DEIT,
        proxies=[proxy],
        device="cpu",
        num_classes=10,
        **small.OPTIONS,
        **options,
    )


def test_an_interrupted_population_keeps_what_was_computed(small, inherited, tmp_path):
    archs = small.DEIT.sample(3 * _TOGETHER, 0)
    proxy, store = inherited.proxy(), tmp_path / "scores.sqlite"

    def interrupted(population):
        some = iter(proxy.compute_many(population))
        yield next(some)
        yield next(some)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scorer(small, replaced(proxy, interrupted), store=store)(archs)
    with sqlite3.connect(store) as kept:
        (count,) = kept.execute(
            "SELECT COUNT(*) FROM scores WHERE fields LIKE '%inherited_accuracy%'"
        ).fetchone()
    assert count == 2 * _TOGETHER
    again = scorer(small, proxy, store=store)
    values = again(archs).to_pandas()["inherited_accuracy"].tolist()
    assert again.evaluated == _TOGETHER
    assert values == [inherited(arch) for arch in archs]


def replaced(proxy, many):
    return Proxy(proxy.name, proxy.compute, compute_many=many, depends_on=proxy.depends_on)


def test_what_is_left_out_together_is_told_one_by_one(small):
    archs = small.DEIT.sample(4, 0)

    def one(inputs):
        if inputs.arch == archs[2]:
            raise RuntimeError("broken")
        return float(inputs.arch.depth)

    def many(population):
        for place, arch in enumerate(population):
            if arch != archs[2]:
                yield {place: float(arch.depth)}

    table = scorer(small, Proxy("depth", one, compute_many=many))(archs)
    assert table.status["depth"].tolist() == ["ok", "ok", "error", "ok"]
    assert "broken" in table.reasons["depth"][2]
    with pytest.raises(ValueError, match="needs images, and compute_many sees architectures alone"):
        Proxy("depth", one, needs=frozenset({"images"}), compute_many=many)
