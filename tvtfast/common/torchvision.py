"""Make torchvision importable beside a CPU-only build of torch.

The torchvision wheel of the package index is a CUDA build. Next to a CPU build of torch its native
library cannot be loaded, and torchvision then fails on import because it attaches fake kernels to
operators that were never declared (``operator torchvision::nms does not exist``). Declaring those
schemas first is enough for everything tvtfast and timm use of it: models, transforms and data sets.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

_declared: list[Any] = []


def ensure_torchvision() -> None:
    """Declare torchvision's operator schemas where its native library cannot be loaded.

    Call it before the first import of ``torchvision`` or ``timm``. It does nothing beside a CUDA or
    ROCm build of torch, after torchvision has been imported, or when torchvision is not installed.
    """
    import torch

    if torch.version.cuda or torch.version.hip or "torchvision" in sys.modules:
        return
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or _declared:
        return
    package = Path(spec.origin).parent
    native = package / "_C.so"
    if native.exists():
        try:
            torch.ops.load_library(str(native))
            return
        except OSError:
            pass
    source = (package / "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "DEF")
    _declared.append(library)
    for name in re.findall(r'register_fake\("torchvision::(\w+)"\)', source):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
