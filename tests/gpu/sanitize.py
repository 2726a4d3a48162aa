"""Run the operators of a device on small shapes, for compute-sanitizer.

    compute-sanitizer --tool memcheck python tests/gpu/sanitize.py
    compute-sanitizer --tool racecheck python tests/gpu/sanitize.py

Memory comes from cudaMalloc directly, so that an access beyond a tensor is one beyond its
allocation.
"""

from __future__ import annotations

import os

os.environ.setdefault("PYTORCH_NO_CUDA_MEMORY_CACHING", "1")

from itertools import chain

import torch
from operators import calls, triton_calls


def main() -> None:
    """Run each call to its end, so that a report names it."""
    torch.manual_seed(0)
    for name, call in chain(calls(), triton_calls()):
        print(name, flush=True)
        call()
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
