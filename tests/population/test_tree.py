"""The arrays of a prefix tree say what the sequences of steps say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvtfast import spaces
from tvtfast.population.tree import NONE, block_ends, prefix_tree
from tvtfast.spaces.steps import Classifier

SPACES = ["autoformer-tiny", "pit", "vitas-twins"]


def ways_of(paths, rows):
    """Steps by candidate."""
    return {
        row: tuple(
            step
            for number in paths.index[row].tolist()
            if number >= 0 and not isinstance(step := paths.steps[number], Classifier)
        )
        for row in rows
    }


def way_to(tree, node):
    """Steps that lead to a node."""
    way = []
    while node:
        way.append(tree.steps[tree.step[node]])
        node = tree.parent[node]
    return tuple(reversed(way))


def future_of(tree, node):
    """All that comes after a node, by places of steps."""
    children = range(tree.first[node], tree.first[node + 1])
    steps = tuple(int(tree.step[child]) for child in children)
    return steps, tuple(future_of(tree, child) for child in children)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(SPACES),
    count=st.integers(1, 40),
    blocks=st.booleans(),
    data=st.data(),
)
def test_nodes_are_beginnings(name, count, blocks, data):
    space = spaces.get(name)
    paths = space.paths(space.sample(count, data.draw(st.integers(0, 10**6))))
    rows = data.draw(st.permutations(range(count)))[: data.draw(st.integers(1, count))]
    tree = prefix_tree(paths, rows, blocks=blocks)
    ways = ways_of(paths, rows)
    found = [way_to(tree, node) for node in range(len(tree))]
    assert len(set(found)) == len(tree)
    assert set(found) == {way[:end] for way in ways.values() for end in range(len(way) + 1)}
    read = 0
    for node, way in enumerate(found):
        children = list(range(tree.first[node], tree.first[node + 1]))
        assert all(tree.parent[child] == node for child in children)
        sizes = [tree.steps[tree.step[child]].params for child in children]
        assert sizes == sorted(sizes), "smaller ones first"
        assert tree.candidates[node] == tuple(row for row in rows if ways[row] == way)
        passing = [
            (row, len(block_ends(ways[row][: len(way)])) - 1)
            for row in rows
            if way
            and ways[row][: len(way)] == way
            and any(end is way[-1] for end in block_ends(ways[row]))
        ]
        if blocks:
            assert tree.passing[node] == tuple(row for row, _ in passing)
            assert {number for _, number in passing} in (set(), {tree.block[node]})
        else:
            assert tree.passing[node] == () and tree.block[node] == NONE
        read += bool(tree.candidates[node]) or (blocks and bool(passing))
    assert tree.is_read.sum() == read


@pytest.mark.parametrize("name", SPACES)
def test_futures_are_in_the_order_of_what_comes(name):
    space = spaces.get(name)
    tree = prefix_tree(space.paths(space.sample(60, 0)), range(60))
    for begin, end in zip(tree.levels, tree.levels[1:], strict=False):
        nodes = range(begin, end)
        futures = {node: future_of(tree, node) for node in nodes}
        for number, of in ((tree.choices, lambda f: f[0]), (tree.futures, lambda f: f)):
            for one in nodes:
                for other in nodes:
                    equal = of(futures[one]) == of(futures[other])
                    assert (number[one] == number[other]) == equal
        ordered = sorted(nodes, key=lambda node: tree.futures[node])
        assert [futures[n][0] for n in ordered] == sorted(futures[n][0] for n in nodes)
