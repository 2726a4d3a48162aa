"""Every node of a prefix tree is computed once, after its parent, and memory is given back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.population.schedule import IMAGES, schedule
from tvtfast.population.tree import prefix_tree


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["autoformer-tiny", "autoformer-original-small", "pit"]),
    count=st.integers(1, 60),
    limit=st.integers(1, 20),
    waiting=st.integers(1, 30),
    together=st.integers(1, 8),
    seed=st.integers(0, 10**6),
)
def test_schedule(name, count, limit, waiting, together, seed):
    space = spaces.get(name)
    tree = prefix_tree(space.paths(space.sample(count, seed)), range(count))
    children = np.diff(tree.first)
    held = {IMAGES: [0]}
    computed, unread = set(), []
    for wave in schedule(tree, limit, waiting, lambda tokens: together):
        source = held[wave.source]
        made = {}
        for call in wave.calls:
            parents = range(call.start, call.stop)
            assert 0 < len(parents) <= together
            targets = iter(range(call.target, len(wave.nodes)))
            for step in call.steps:
                for row in parents:
                    made[next(targets)] = step, source[row]
        assert sorted(made) == list(range(len(wave.nodes))), "every row is written once"
        rows = range(len(wave.nodes)) if wave.order is None else wave.order.tolist()
        assert sorted(rows) == sorted(made)
        for node, row in zip(wave.nodes.tolist(), rows, strict=True):
            step, parent = made[row]
            assert step is tree.steps[tree.step[node]] and parent == tree.parent[node]
        nodes = wave.nodes.tolist()
        assert not computed & set(nodes)
        computed |= set(nodes)
        assert len(nodes) <= max(limit, *(children[node] for node in source))
        steps = [tree.steps[number] for number in tree.step[nodes]]
        assert len({(type(s), s.name, s.width, s.tokens) for s in steps}) == 1
        held[wave.number] = nodes
        if wave.last_of_source:
            del held[wave.source]
        ended = [node for node in nodes if tree.candidates[node]]
        assert wave.ended.tolist() == ended and wave.has_ends == bool(ended)
        unread += ended
        if wave.has_ends and not wave.is_leaf:
            assert wave.reads
        if wave.reads:
            unread.clear()
        assert len(unread) < waiting
        if wave.is_leaf:
            assert not any(children[node] for node in nodes)
            del held[wave.number]
    assert computed == set(range(1, len(tree))) and not held and not unread


def test_the_schedule_does_not_depend_on_addresses():
    space = spaces.get("autoformer-tiny")

    def order():
        tree = prefix_tree(space.paths(space.sample(30, 0)), range(30))
        return [wave.nodes.tolist() for wave in schedule(tree, 4)]

    assert order() == order()


def test_rows_are_put_in_order_where_that_saves_calls():
    space = spaces.get("autoformer-tiny")
    tree = prefix_tree(space.paths(space.sample(400, 0)), range(400))
    together = 20

    def calls(waves):
        return sum(len(wave.calls) for wave in waves)

    def ordered(waves):
        return [wave for wave in waves if wave.order is not None]

    single, joint = (schedule(tree, 256, 1, lambda _, n=n: n) for n in (1, together))
    assert calls(single) > 0.5 * (len(tree) - 1), "siblings alone share a call"
    assert not ordered(single), "one parent a call: no order saves any"
    least = sum(max(1, len(wave.nodes) / together) for wave in joint)
    assert calls(joint) < 3 * least
    moved = sum(len(wave.nodes) for wave in ordered(joint))
    assert 0 < moved < 0.7 * len(tree), "not at every level"
    for wave in ordered(joint):
        futures = tree.futures[wave.nodes]
        assert (np.diff(futures) >= 0).all() and (np.diff(tree.choices[wave.nodes]) >= 0).all()
