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
    for wave in schedule(root, limit, waiting):
        source = held[wave.source]
        made = {}
        for stretch in wave.stretches:
            for step, targets in zip(stretch.steps, stretch.targets, strict=True):
                for row, target in zip(range(stretch.start, stretch.stop), targets, strict=True):
                    child = wave.nodes[target]
                    assert child.step is step and parents[child] is source[row]
                    made[target] = child
        assert [made[row] for row in range(len(wave.nodes))] == list(wave.nodes)
        assert not computed & set(wave.nodes)
        computed |= set(wave.nodes)
        siblings = max(len(node.children) for node in source)
        assert len(wave.nodes) <= max(limit, siblings)
        shapes = {(type(n.step), n.step.name, n.step.width, n.step.tokens) for n in wave.nodes}
        assert len(shapes) == 1
        held[wave.number] = list(wave.nodes)
        if wave.last_of_source:
            del held[wave.source]
        unread += [node for node in wave.nodes if node.candidates]
        if wave.has_ends and not wave.is_leaf:
            assert wave.reads
        if wave.reads:
            unread.clear()
        assert len(unread) < waiting
        if wave.is_leaf:
            assert not any(node.children for node in wave.nodes)
            del held[wave.number]
    assert computed == everything and not held and not unread


def test_the_schedule_does_not_depend_on_addresses():
    space = spaces.get("autoformer-tiny")

    def order():
        paths = space.paths(space.sample(30, 0))
        root = prefix_tree(paths, range(30))
        return [[node.number for node in wave.nodes] for wave in schedule(root, 4)]

    assert order() == order()
