"""What the host does for a device: ``python -m bench.host``.

A population is computed on PyTorch's meta device, which has shapes and no values, and the operators
of blocks do nothing. What is left is what the host does while a device computes: the tree, the
plan, views of tensors, the choice of a backend, and then scores, store and table. Times are
processor time of this process, medians of rounds; calls of ATen are counted in a pass of its own.

Launches of kernels are not in it: an operator ends where its backend would begin.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tvtfast
from bench.machine import machine
from tvtfast import spaces
from tvtfast.data import FrozenBatch
from tvtfast.kernels import dispatch
from tvtfast.population import Population, engine
from tvtfast.population.memory import plan_memory
from tvtfast.population.tree import prefix_tree
from tvtfast.proxies import Proxy

SPACE = "autoformer-tiny"
IMAGE_SIZE = 224
BLOCKS = ("attention_block", "mlp_block")
ALONE = ("linear", "packed_attention")
"""Operators that a block is made of where no operator makes all of it."""
META = torch.device("meta")
MEMORY = 64 * 2**30
"""Bytes that activations may take, as on a device of 80 GB."""


class Counted(TorchDispatchMode):
    """Counts calls of ATen, and calls of our operators.

    Attributes:
        aten: Calls of ATen by name.
        around: Those of them that are made to call operators of blocks.
        operators: Calls of our operators.
    """

    def __init__(self) -> None:
        super().__init__()
        self.aten: Counter[str] = Counter()
        self.around = self.operators = 0
        self._inside = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):  # type: ignore[no-untyped-def]
        if function.namespace == "aten":
            self.aten[function.name()] += 1
            self.around += self._inside
        elif function.namespace == "tvtfast":
            self.operators += 1
        return function(*args, **(kwargs or {}))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Tell what is made to call operators from what is made for waves and readings."""
        compute = engine._compute

        def watched(*arguments: Any) -> None:
            self._inside = arguments[-1] is not None  # a block
            compute(*arguments)
            self._inside = False

        with patch.object(engine, "_compute", watched):
            yield


@contextmanager
def stubbed() -> Iterator[None]:
    """Operators compute nothing on the meta device. Reasons of the Triton backend are gathered as
    ever; that the tensors are on no GPU is not one of them."""
    before = {name: dispatch.IMPLEMENTATIONS[name] for name in (*BLOCKS, *ALONE)}
    for name, implementations in before.items():
        dispatch.IMPLEMENTATIONS[name] = (_stub(name, implementations[0]), *implementations)
    try:
        yield
    finally:
        dispatch.IMPLEMENTATIONS.update(before)


def _stub(name: str, fastest: dispatch.Implementation) -> dispatch.Implementation:
    def reasons(call: Any) -> tuple[str, ...]:
        if fastest.backend != "triton":
            return ()
        return tuple(reason for reason in fastest.reasons(call) if " is on meta " not in reason)

    fake = dispatch.OPERATORS[name].fake
    return replace(fastest, reasons=reasons, run=fake, device="meta")


def score_nothing(inputs: Any) -> torch.Tensor:
    """Scores of every image, without a look at it."""
    x = inputs.features.x
    return torch.zeros(x.shape[:2])


STAND_IN = Proxy(
    name="stand_in",
    higher_is_better=True,
    needs=frozenset({"images", "weights"}),
    per_image=score_nothing,
    compute=lambda inputs: float(score_nothing(inputs).mean()),
)


class Host:
    """What is measured, for one sample of architectures."""

    def __init__(self, candidates: int, images: int) -> None:
        self.archs = spaces.get(SPACE).sample(candidates, 0)
        self.images = torch.empty(images, 3, IMAGE_SIZE, IMAGE_SIZE, device=META)
        zeros = torch.zeros(images, 3, IMAGE_SIZE, IMAGE_SIZE)
        self.batch = FrozenBatch.from_tensors(zeros, num_classes=100).to(META)
        self.population = self.populate()

    def populate(self) -> Population:
        """The architectures as paths, and no weights yet."""
        return Population(
            self.archs,
            space=SPACE,
            num_classes=100,
            device=META,
            dtype=torch.bfloat16,
            memory=MEMORY,
        )

    def tree(self) -> None:
        """The prefix tree alone."""
        prefix_tree(self.population.paths, range(len(self.archs)))

    def plan(self) -> None:
        """The prefix tree, the schedule and its bound."""
        tree = prefix_tree(self.population.paths, range(len(self.archs)))
        plan_memory(tree, len(self.images), torch.bfloat16, META, MEMORY)

    def features(self) -> None:
        """All of the engine but the paths."""
        for _ in self.population.features(self.images):
            pass

    def counted(self) -> Counted:
        """The calls of `features`."""
        with Counted() as found, found.watching():
            self.features()
        return found

    def score(self) -> pd.DataFrame:
        """Score, keep the scores in a file, and make the table."""
        with tempfile.TemporaryDirectory() as folder:
            scorer = tvtfast.Scorer(
                space=SPACE,
                proxies=[STAND_IN],
                images=self.batch,
                device="meta",
                dtype="bfloat16",
                memory=MEMORY,
                store=Path(folder) / "scores.sqlite",
            )
            return scorer(self.archs).to_pandas()


def seconds(call: Callable[[], object], rounds: int) -> float:
    """Processor time of a call, the median of rounds after one that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.host", description=__doc__)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    host = Host(arguments.candidates, arguments.images)
    scale = 1000 / arguments.candidates
    with stubbed(), torch.no_grad():
        paths, tree, plan, features, scored = (
            scale * seconds(call, arguments.rounds)
            for call in (host.populate, host.tree, host.plan, host.features, host.score)
        )
        counted = host.counted()
    rows = {
        "architectures as paths": paths,
        "prefix tree": tree,
        "schedule and bound": plan - tree,
        "views, dispatch, readings": features - plan,
        "**the engine**": paths + features,
        "checks, ledger, store, table": scored - paths - features,
    }
    print(
        f"\n{arguments.candidates:,} candidates of {SPACE}, {arguments.images} images of "
        f"{IMAGE_SIZE} x {IMAGE_SIZE}, bf16\n"
    )
    print("| part | s per 1,000 candidates |\n| --- | --- |")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} |")
    calls = counted.operators
    print(
        f"\n{calls:,} calls of operators of blocks; {counted.around:,} calls of ATen for them, "
        f"{counted.around / calls:.1f} each, and {counted.aten.total() - counted.around:,} for "
        "embeddings, room, order and readings\n"
    )
    print(f"{scored:.2f} s per 1,000 candidates")


if __name__ == "__main__":
    main()
