"""Fused operators over tensors; they know nothing of architecture search.

Importing this package touches no driver, no compiler and no network.
"""

from __future__ import annotations

if __name__ == "kernels":
    raise ImportError(
        "this is the source folder of tvtfast.kernels and cannot be imported as 'kernels':"
        " every operator would be registered twice. Import tvtfast.kernels; if you want the package"
        " 'kernels' of the package index, run Python from another directory."
    )

from .backend.cuda import build_info as cuda_build_info
from .backend.native import build_info as native_build_info
from .dispatch import BackendError, Explanation, backends, explain, serving, use_backend
from .registry import folders, register

__all__ = [
    "BackendError",
    "Explanation",
    "backends",
    "cuda_build_info",
    "explain",
    "native_build_info",
    "register",
    "serving",
    "use_backend",
]

for _folder in folders():
    register(_folder)
