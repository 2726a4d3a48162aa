"""Every node of a prefix tree is computed once, after its parent, and memory is given back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.population.schedule import IMAGES, schedule
from tvtfast.population.tree import prefix_tree


def nodes_of(node):
    for child in node.children.values():
        yield child
        yield from nodes_of(child)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["autoformer-tiny", "autoformer-original-small", "pit"]),
    count=st.integers(1, 60),
    limit=st.integers(1, 20),
    waiting=st.integers(1, 30),
    seed=st.integers(0, 10**6),
)
def test_schedule(name, count, limit, waiting, seed):
    space = spaces.get(name)
    paths = space.paths(space.sample(count, seed))
    root = prefix_tree(paths, range(count))
    everything = set(nodes_of(root))
    assert sorted(row for node in everything for row in node.candidates) == list(range(count))
    parents = {child: node for node in (root, *everything) for child in node.children.values()}
    held = {IMAGES: [root]}
    computed, unread = set(), []
    for batch in schedule(root, limit, waiting):
        source = held[batch.source]
        made = {}
        for run in batch.runs:
            for step, targets in zip(run.steps, run.targets, strict=True):
                for row, target in zip(range(run.start, run.stop), targets, strict=True):
                    child = batch.nodes[target]
                    assert child.step is step and parents[child] is source[row]
                    made[target] = child
        assert [made[row] for row in range(len(batch.nodes))] == list(batch.nodes)
        assert not computed & set(batch.nodes)
        computed |= set(batch.nodes)
        siblings = max(len(node.children) for node in source)
        assert len(batch.nodes) <= max(limit, siblings)
        shapes = {(type(n.step), n.step.name, n.step.width, n.step.tokens) for n in batch.nodes}
        assert len(shapes) == 1
        held[batch.number] = list(batch.nodes)
        if batch.last_of_source:
            del held[batch.source]
        unread += [node for node in batch.nodes if node.candidates]
        if batch.has_ends and not batch.is_leaf:
            assert batch.reads
        if batch.reads:
            unread.clear()
        assert len(unread) < waiting
        if batch.is_leaf:
            assert not any(node.children for node in batch.nodes)
            del held[batch.number]
    assert computed == everything and not held and not unread


def test_the_schedule_does_not_depend_on_addresses():
    space = spaces.get("autoformer-tiny")

    def order():
        paths = space.paths(space.sample(30, 0))
        root = prefix_tree(paths, range(30))
        return [[node.number for node in batch.nodes] for batch in schedule(root, 4)]

    assert order() == order()
