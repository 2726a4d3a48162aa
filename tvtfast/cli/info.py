"""``tvtfast info``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from jsonargparse import ArgumentParser

from tvtfast import spaces, strategies
from tvtfast.common.files import cache_dir
from tvtfast.common.machine import machine, versions


def parser() -> ArgumentParser:
    """The command has no flags."""
    return ArgumentParser(
        description="Show versions, machine, and which backend serves which operator."
    )


def run(cfg: Namespace, parser: ArgumentParser) -> None:
    """Print the state of this installation."""
    import torch

    from tvtfast import kernels, proxies

    _section("versions", versions())
    _section("machine", machine())
    built = kernels.native_build_info()
    _section("C++ extension", built or {"tvtfast._C": "not installed; operators run in PyTorch"})
    built_cuda = kernels.cuda_build_info()
    _section("CUDA extension", built_cuda or {"tvtfast._cuda": "not installed"})
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        _operators(device)
    _section(
        "known names",
        {
            "spaces": ", ".join(spaces.available()),
            "proxies": ", ".join(proxies.available()),
            "strategies": ", ".join(strategies.available()),
            "cache": str(cache_dir()),
        },
    )


def _operators(device: str) -> None:
    from tvtfast import kernels

    print(f"\noperators (typical call on {device})")
    for entry in kernels.explain(device=device):
        print(f"  {entry.operator:<24} {entry.backend}")
        for backend, reasons in entry.declined.items():
            print(f"  {'':<24} not {backend}: {'; '.join(reasons)}")


def _section(title: str, entries: Mapping[str, str | int]) -> None:
    print(f"\n{title}")
    for name, value in entries.items():
        print(f"  {name:<24} {value}")
