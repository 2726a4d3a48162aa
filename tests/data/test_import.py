"""Importing tvtfast.data stays cheap."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torchvision", "timm", "sklearn", "pandas", "scipy", "safetensors", "matplotlib")


def test_heavy_packages_are_imported_on_use() -> None:
    code = f"import sys, tvtfast.data; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
