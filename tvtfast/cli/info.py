"""``tvtfast info``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvtfast import spaces, strategies
from tvtfast.cli.output import Report, wrapped
from tvtfast.cli.parsing import Parser
from tvtfast.common.files import cache_dir
from tvtfast.common.machine import machine, versions
from tvtfast.common.plugins import Plugins

if TYPE_CHECKING:
    from tvtfast.kernels.dispatch import Explanation

_EXAMPLES = (
    "tvtfast info",
    "tvtfast info --json",
)


def parser() -> Parser:
    """The command has no flags."""
    return Parser(
        "Show versions, machine, and which backend serves which operator.",
        _EXAMPLES,
    )


def run(cfg: Namespace, parser: Parser) -> Report:
    """Tell the state of this installation."""
    import torch

    from tvtfast import kernels, proxies

    cpp, cuda = kernels.native_build_info(), kernels.cuda_build_info()
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    served = {device: kernels.explain(device=device) for device in devices}
    brought = [
        entry
        for plugins in (spaces.PLUGINS, proxies.PLUGINS, strategies.PLUGINS)
        for entry in _brought(plugins)
    ]
    names = {
        "spaces": spaces.available(),
        "proxies": proxies.available(),
        "strategies": strategies.available(),
    }
    known = {kind: ", ".join(found) for kind, found in names.items()}
    text = [
        _section("versions", versions()),
        _section("machine", machine()),
        _section("C++ extension", cpp or {"tvtfast._C": "not installed; operators run in PyTorch"}),
        _section("CUDA extension", cuda or {"tvtfast._cuda": _without_cuda(devices)}),
        *(_operators(device, entries) for device, entries in served.items()),
        _section("known names", known | {"cache": str(cache_dir())}),
        *([_plugins(brought)] if brought else []),
    ]
    data = {
        "versions": versions(),
        "machine": machine(),
        "cpp_extension": cpp,
        "cuda_extension": cuda,
        "operators": [
            {
                "operator": entry.operator,
                "device": device,
                "backend": entry.backend,
                "declined": dict(entry.declined),
            }
            for device, entries in served.items()
            for entry in entries
        ],
        **names,
        "plugins": brought,
        "cache": str(cache_dir()),
    }
    return Report("\n\n".join(text), data)


def _without_cuda(devices: Sequence[str]) -> str:
    """What it means that there is no CUDA extension, and the way to it where there is a GPU."""
    if "cuda" not in devices:
        return "not installed"
    return (
        "not installed, though there is a GPU: operators run in Triton or PyTorch there."
        " TVTFAST_CUDA=1 pip install . builds it and brings nvcc along"
    )


def _brought(plugins: Plugins[Any]) -> list[dict[str, str]]:
    """What installed packages bring along, each loaded, and why it is left out."""
    for offer in plugins.offers():
        plugins.usable(offer.name)
    return [
        {
            "name": offer.name,
            "kind": plugins.what,
            "package": offer.distribution,
            "reason": plugins.problem(offer.name),
        }
        for offer in plugins.offers()
    ]


def _plugins(brought: Sequence[Mapping[str, str]]) -> str:
    lines = ["of installed packages"]
    for one in brought:
        state = (
            f"left out: {one['reason']}" if one["reason"] else f"{one['kind']} of {one['package']}"
        )
        lines.append(_line(one["name"], state))
    return "\n".join(lines)


def _operators(device: str, entries: Sequence[Explanation]) -> str:
    lines = [f"operators (typical call on {device})"]
    for entry in entries:
        lines.append(f"  {entry.operator:<24} {entry.backend}")
        for backend, reasons in entry.declined.items():
            lines.append(_line("", f"not {backend}: {'; '.join(reasons)}"))
    return "\n".join(lines)


def _section(title: str, entries: Mapping[str, str | int]) -> str:
    return "\n".join([title, *(_line(name, str(value)) for name, value in entries.items())])


def _line(name: str, value: str) -> str:
    return wrapped(f"  {name:<24} {value}", indent=" " * 27)
