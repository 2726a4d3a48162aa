"""One network, one number: as a table has it, and nothing of the caller's is touched."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
from torch import nn

import tvtfast
from tvtfast import proxies
from tvtfast.data import FrozenBatch, frozen_batch
from tvtfast.models import CifarResNet
from tvtfast.proxies import DerivedProxy, Proxy
from tvtfast.scoring import teacher_answers
from tvtfast.scoring.candidates import ModuleCandidate
from tvtfast.scoring.inputs import seeded
from tvtfast.scoring.module_state import ModuleState

NAMES = ("teacher_aware", "weight_norm", "snip", "zen", "ntk_condition", "relation_cc", "params")


@pytest.fixture(scope="module")
def batch():
    return frozen_batch("digits", 4)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return timm.models.VisionTransformer(
            img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=10
        )


class Watched(CifarResNet):
    """A teacher that counts what it is asked."""

    def __init__(self):
        super().__init__(8, 10)
        self.asked = 0

    def forward_intermediates(self, *args, **kwargs):
        self.asked += 1
        return super().forward_intermediates(*args, **kwargs)


@pytest.fixture
def watched():
    return tvtfast.initialize_(Watched(), seed=1)


def test_numbers_are_those_of_a_table(batch, teacher):
    net = network()
    table = tvtfast.score([net], proxies=NAMES, images=batch, teacher=teacher).to_pandas()
    measure = tvtfast.Measure(NAMES, teacher=teacher)
    for _ in range(2):
        found = measure(net, batch)
        assert list(found) == list(NAMES)
        assert found == table[list(NAMES)].iloc[0].to_dict()
    one = tvtfast.Measure(teacher=teacher)(net, batch.images)
    assert (
        isinstance(one, float)
        and one
        == tvtfast.score([net], proxies="teacher_aware", images=batch.images, teacher=teacher)[
            "teacher_aware"
        ][0]
    )


def test_weight_norm_is_the_sum_of_norms():
    net = network()
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    expected = sum(np.linalg.norm(m.weight.detach().double().numpy()) for m in layers)
    assert tvtfast.Measure("weight_norm")(net) == pytest.approx(expected, rel=1e-6)


def test_nothing_is_computed_beside_the_score(batch, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("nobody asked for this")

    monkeypatch.setattr(ModuleCandidate, "flops", refuse)
    monkeypatch.setattr("tvtfast.scoring.scorer.tabulate", refuse)
    assert tvtfast.Measure("naswot")(network(), batch) != 0
    monkeypatch.setattr(ModuleState, "__init__", refuse)
    monkeypatch.setattr(FrozenBatch, "from_tensors", refuse)
    assert tvtfast.Measure(("weight_norm", "l2_norm"))(network(), batch.images)


@pytest.mark.parametrize("training", [True, False])
def test_everything_of_the_caller_stays(batch, watched, training):
    net = tvtfast.initialize_(CifarResNet(8, 10), seed=2).train(training)
    net.bn1.eval()
    watched.train(not training)
    net.conv1.weight.requires_grad_(False)
    net.linear.weight.grad = torch.ones_like(net.linear.weight)
    held = {
        "net": copy.deepcopy(net.state_dict()),
        "teacher": copy.deepcopy(watched.state_dict()),
        "modes": [m.training for m in (*net.modules(), *watched.modules())],
        "flags": [p.requires_grad for p in (*net.parameters(), *watched.parameters())],
    }
    random_state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    pixels = batch.images.clone()
    measure = tvtfast.Measure(
        ("teacher_aware", "snip", "grasp", "synflow", "jacob_cov", "weight_norm"), teacher=watched
    )
    measure(net, batch.images, batch.labels)
    for name, module in (("net", net), ("teacher", watched)):
        for key, value in module.state_dict().items():
            assert torch.equal(value, held[name][key]), key
    assert [m.training for m in (*net.modules(), *watched.modules())] == held["modes"]
    assert [p.requires_grad for p in (*net.parameters(), *watched.parameters())] == held["flags"]
    assert torch.equal(net.linear.weight.grad, torch.ones_like(net.linear.weight))
    assert all(p.grad is None for p in net.parameters() if p is not net.linear.weight)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads and torch.equal(batch.images, pixels)


def test_the_teacher_is_asked_once_per_content(batch, watched):
    net, measure = network(), tvtfast.Measure(teacher=watched)
    buffer = batch.images.clone()
    first = measure(net, buffer)
    assert measure(network(1), batch.images.clone()) != first and watched.asked == 1
    buffer.mul_(0.5)  # a loader that fills one buffer again and again
    halved = measure(net, buffer)
    assert watched.asked == 2 and halved != first
    assert halved == tvtfast.Measure(teacher=watched)(net, batch.images * 0.5)
    assert watched.asked == 3 and measure(net, batch.images) == first and watched.asked == 3
    watched.conv1.weight.data[0, 0, 0, 0] += 1  # unseen by version counters
    changed = measure(net, batch.images)
    assert watched.asked == 4 and changed != first
    assert changed == tvtfast.Measure(teacher=watched)(net, batch.images)


def test_little_is_kept_of_batches(batch, watched, monkeypatch):
    measure = tvtfast.Measure(("teacher_aware", "diswot"), teacher=watched)
    net = tvtfast.initialize_(CifarResNet(8, 10), seed=2)
    shown = [batch.images * factor for factor in (1.0, 0.9, 0.8)]
    values = [measure(net, images) for images in shown]
    references = [weakref.ref(images) for images in shown]
    del shown
    gc.collect()
    assert [one() for one in references] == [None] * 3 and len(measure._teacher._kept) == 3
    monkeypatch.setattr(teacher_answers, "MOST_BYTES", 1)
    asked = watched.asked
    for factor, value in zip((1.0, 0.9, 1.0), (values[0], values[1], values[0]), strict=True):
        assert measure(net, batch.images * factor) == value
    assert len(measure._teacher._kept) == 1 and watched.asked > asked


def test_it_is_copied_pickled_and_shared_by_threads(batch, teacher):
    nets = [network(seed) for seed in range(4)]
    measure = tvtfast.Measure(("teacher_aware", "snip"), teacher=teacher)
    expected = [measure(net, batch) for net in nets]
    for copied in (pickle.loads(pickle.dumps(measure)), copy.deepcopy(measure)):
        assert [copied(net, batch) for net in nets] == expected
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda net: measure(net, batch), nets)) == expected


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_it_works_in_any_context_of_the_caller(batch, teacher, context):
    net, measure = network(), tvtfast.Measure(("teacher_aware", "snip"), teacher=teacher)
    with context():
        found = measure(net, batch.images.clone(), batch.labels.clone())
    assert found == measure(net, batch)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("tvt", r"'tvt' is made of the scores of a whole table.*'teacher_aware', 'weight_norm'"),
        ("zero-cost", "'az_nas' is made of the scores of a whole table"),
        (("teacher_aware",), "'teacher_aware' needs teacher; pass teacher"),
        ("weightnorm", "unknown proxy 'weightnorm'.*did you mean weight_norm"),
        ((), "no proxy was named"),
        ((Proxy("a", lambda _: 1.0), Proxy("a", lambda _: 2.0)), "two proxies are called 'a'"),
        (
            DerivedProxy("mine", ("params",), derive=lambda p, f: p, refuse_other_scores=print),
            "'mine' is made of the scores of a whole table",
        ),
    ],
)
def test_what_one_network_has_no_score_of_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        tvtfast.Measure(names)


@pytest.mark.parametrize(
    ("names", "arguments", "error", "message"),
    [
        ("weight_norm", [{"depth": 2}], TypeError, "net is a dict; give a torch.nn.Module"),
        ("naswot", [network()], ValueError, "'naswot' needs images; pass images"),
        ("snip", [network(), torch.zeros(2, 3, 32, 32)], ValueError, "'snip' needs labels"),
        ("naswot", [network(), torch.zeros(3, 32, 32)], ValueError, r"are \[3, 32, 32\]; give"),
        ("weight_norm", [network(), [0]], ValueError, "images are list; give a tensor"),
        ("naswot", [network(), torch.full((2, 3, 32, 32), np.nan)], ValueError, "NaN or infinite"),
    ],
)
def test_missing_and_broken_input_is_named(names, arguments, error, message):
    with pytest.raises(error, match=message):
        tvtfast.Measure(names)(*arguments)


def test_a_network_without_the_score_is_an_error_with_the_reason(batch, teacher):
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    with pytest.raises(tvtfast.ScoringError, match="teacher_aware: Unsupported.*pass feature_fn"):
        tvtfast.Measure(teacher=teacher)(plain, batch)
    with pytest.raises(tvtfast.ScoringError, match="odd: the score is nan"):
        tvtfast.Measure(Proxy("odd", lambda inputs: np.nan))(plain, batch)
    with pytest.raises(ValueError, match="has its own; leave them out"):
        tvtfast.Measure("snip")(plain, batch, batch.labels)


def test_features_are_read_as_the_caller_says(batch, teacher):
    net = network()
    bare = nn.Sequential(net)
    measure = tvtfast.Measure(
        teacher=teacher,
        feature_fn=lambda module, images: module[0].forward_intermediates(
            images, intermediates_only=True
        ),
    )
    assert measure(bare, batch) == tvtfast.Measure(teacher=teacher)(net, batch)


def test_no_gpu_is_seeded_that_is_not_in_use(monkeypatch):
    """torch.manual_seed seeds them all, and the caller's streams would be lost."""

    def refuse(*arguments):
        raise AssertionError("a GPU is seeded")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    with seeded(0, "net", torch.device("cpu")):
        found = torch.rand(2)
    with seeded(0, "net", torch.device("cpu")):
        assert torch.equal(torch.rand(2), found)


def test_a_proxy_that_reads_only_says_so():
    assert proxies.get("weight_norm").read_only and not proxies.get("snip").read_only
