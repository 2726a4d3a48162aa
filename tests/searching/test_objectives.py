"""Pareto fronts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tvtfast.searching.objectives import non_dominated, parse_objectives

few_values = st.sampled_from([0.0, 1.0, 2.0, -1.5, np.nan])
costs = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=few_values
)


@given(costs=costs)
def test_front_is_what_nothing_beats(costs):
    def beaten(row):
        return any((other <= row).all() and (other < row).any() for other in costs)

    expected = [not np.isnan(row).any() and not beaten(row) for row in costs]
    assert non_dominated(costs).tolist() == expected


def test_parameters_and_flops_are_costs():
    found = parse_objectives(["flops", "a", "params"], {"a": True, "params": True})
    assert found == {"flops": False, "a": True, "params": False}
    with pytest.raises(ValueError, match="objectives are b; give some of a, params, flops, macs"):
        parse_objectives(["b"], {"a": True})
