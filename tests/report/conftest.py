"""Small searches to report on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tvtfast.report import SearchReport


def arch(rng: np.random.Generator) -> str:
    depth = int(rng.integers(2, 5))
    return json.dumps(
        {
            "depth": depth,
            "hidden_dim": int(rng.choice([192, 216, 240])),
            "mlp_ratio": rng.choice([3.5, 4.0], depth).tolist(),
            "num_heads": rng.choice([3, 4], depth).tolist(),
        }
    )


@pytest.fixture
def make_report() -> Callable[..., SearchReport]:
    """A report of ``n`` candidates and ``proxies`` proxies; the last proxy is better when lower."""

    def make(n: int = 40, proxies: int = 3, **changes: Any) -> SearchReport:
        rng = np.random.default_rng(0)
        names = [f"proxy_{index}" for index in range(proxies)]
        params = rng.integers(4_000_000, 9_000_000, n)
        frame = pd.DataFrame(
            {
                "arch": [arch(rng) for _ in range(n)],
                "params": params,
                "flops": params * 216,
                "macs": params * 108,
            }
        ).assign(**{name: rng.normal(size=n) for name in names})
        report = SearchReport(
            title="Search of autoformer-tiny",
            frame=frame,
            status=pd.DataFrame("ok", index=frame.index, columns=names),
            score=frame[names[0]].rename("minmax_sum"),
            higher_is_better={name: name != names[-1] or proxies == 1 for name in names},
            settings={"space": "autoformer-tiny", "seed": "0"},
            timings={"sample": 0.03, "score": 75.0},
            machine={"torch": "2.13.0"},
            attention=None,
            command="tvtfast search --seed 0",
        )
        return dataclasses.replace(report, **changes)

    return make
