"""Published models by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

import tvtfast
from tvtfast import spaces
from tvtfast.models import blank
from tvtfast.spaces.reference_table import page

NAMES = spaces.references()
DOCS = Path(__file__).parents[2] / "docs" / "references.md"


def test_the_published_models_are_there():
    wanted = "deit-tiny deit-small pit-ti pit-xs pit-s twins-svt-s autoformer-t autoformer-s "
    wanted += "autoformer-b vitas-a vitas-b vitas-c vitas-e vitas-f as-vit-small as-vit-base "
    assert set(NAMES) == {*wanted.split(), "as-vit-large"}
    with pytest.raises(ValueError, match="unknown reference 'deit-tinny'; known: deit-tiny, .*did"):
        spaces.reference("deit-tinny")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_sound_architecture_near_the_papers_counts(name):
    model = spaces.reference(name)
    space = spaces.get(model.space)
    assert space.decode(model.arch) == model.arch
    assert model.is_searched == space.contains(model.arch)
    if model.paper_params is not None:
        assert model.params == pytest.approx(model.paper_params, rel=0.015)
    assert model.macs == pytest.approx(model.paper_macs, rel=0.05)
    built = blank(model.arch, space=space, num_classes=1000, pool=model.options.pool)
    assert sum(p.numel() for p in built.parameters()) == model.params


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("deit-tiny", "deit_tiny_patch16_224"), ("deit-small", "deit_small_patch16_224")],
)
def test_parameters_are_those_of_timms_deit(name, theirs):
    with torch.device("meta"):
        expected = timm.create_model(theirs).state_dict()
    reference = spaces.reference(name)
    ours = blank(reference.arch, space=reference.space, num_classes=1000, pool="token").state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in expected.items()}


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("pit-ti", "pit_ti_224"), ("pit-xs", "pit_xs_224"), ("pit-s", "pit_s_224")],
)
def test_sizes_are_those_of_timms_pit(name, theirs):
    with torch.device("meta"):
        expected = timm.create_model(theirs)
    assert spaces.reference(name).params == sum(p.numel() for p in expected.parameters())


def test_twins_computes_what_timms_does():
    theirs = timm.create_model("twins_svt_small", num_classes=5).eval()
    ours = tvtfast.build("twins-svt-s", num_classes=5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_the_released_vitas_counter_gives_the_papers_figures():
    for name in NAMES:
        if name.startswith("vitas-"):
            model = spaces.reference(name)
            counted = spaces.get(model.space).original_flops(model.arch)
            assert counted == pytest.approx(model.paper_macs, rel=0.01)


def test_one_is_scored_and_trains_a_step():
    reference = spaces.reference("deit-tiny")
    small = {"img_size": 32, "patch_size": 8, "num_classes": 4}
    model = tvtfast.build("deit-tiny", seed=1, **small)
    same = tvtfast.build(reference, seed=1, **small)
    assert model.options.pool == "token" and model.global_pool == "token"
    assert all(map(torch.equal, model.state_dict().values(), same.state_dict().values()))
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.AdamW(model.train().parameters(), 1e-3)
    losses = []
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    table = tvtfast.score([reference.arch], space=reference.space, proxies="weight_norm", **small)
    assert table["params"][0] == sum(p.numel() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_is_built_and_answers(name):
    model = tvtfast.build(name, num_classes=3, img_size=64)
    with torch.no_grad():
        logits = model(torch.randn(1, 3, 64, 64))
    assert logits.shape == (1, 3) and torch.isfinite(logits).all()


def test_building_without_a_space_asks_for_one():
    with pytest.raises(ValueError, match="name the space .* or build a published model by its nam"):
        tvtfast.build(spaces.reference("deit-tiny").arch)
    with pytest.raises(ValueError, match="unknown reference 'deit'"):
        tvtfast.build("deit")


def test_the_page_is_what_is_generated():
    if not DOCS.exists():
        pytest.skip("the tests do not lie in a source checkout")
    assert DOCS.read_text(encoding="utf-8") == page() + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_is_decoded_and_built_as_a_caller_does(name):
    published, written = spaces.reference(name), spaces.read_architecture(name)
    space = spaces.get(written.space)
    assert space.decode(written.arch) == published.arch
    assert space.decode(space.encode(published.arch)) == published.arch
    model = tvtfast.build(name, num_classes=10)
    images = torch.randn(1, 3, *model.options.img_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(images)
    assert logits.shape == (1, 10) and logits.isfinite().all() and logits.std() > 0
    options = {"num_classes": 10, "pool": model.options.pool}
    assert sum(p.numel() for p in model.parameters()) == space.params(published.arch, **options)
