"""CUDA C++ as g++ reads it: three constructs of the language in the words of ``cuda_runtime.h``."""

from __future__ import annotations

import re

LAUNCH = re.compile(r"([\w:]+(?:<[^<>;]*>)?)\s*<<<(.*?)>>>\s*\(", re.DOTALL)
DYNAMIC = re.compile(r"\bextern\s+__shared__\s+([\w:]+)\s+(\w+)\[\];")
STATIC = re.compile(r"\b__shared__\s+([\w:]+)\s+(\w+)((?:\[[^\]]+\])+);")


def rewrite(source: str) -> str:
    """The text with launches and shared memory as calls.

    A launch is ``kernel<<<...>>>(...)`` or ``kernel<T><<<...>>>(...)``; an array of shared memory
    has a type of one word and stands in a declaration of its own. Anything else that is left of
    these constructs is an error.
    """
    memory = r"static_cast<\1*>(::emulated::shared_memory(nullptr, 0))"
    source = DYNAMIC.sub(rf"\1* const \2 = {memory};", source)
    source = STATIC.sub(r"\1 (&\2)\3 = ::emulated::shared<\1\3>([] {});", source)
    while found := LAUNCH.search(source):
        end = _closing(source, found.end()) + 1
        call = f"[=] {{ {found[1]}({source[found.end() : end]}; }}"
        launch = f"::emulated::launch({{{found[2]}}}, {call})"
        source = source[: found.start()] + launch + source[end:]
    left = [word for word in ("<<<", "__shared__") if word in re.sub(r"//.*", "", source)]
    if left:
        raise ValueError(f"{', '.join(left)} in a form that the emulation does not read")
    return source


def _closing(source: str, start: int) -> int:
    """Position of the parenthesis that closes the one before ``start``."""
    depth = 1
    for position in range(start, len(source)):
        depth += {"(": 1, ")": -1}.get(source[position], 0)
        if depth == 0:
            return position
    raise ValueError("the arguments of a launch do not end")
