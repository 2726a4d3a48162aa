"""C++ on the CPU through ``tvtfast._C``, where the extension was built.

The extension knows nothing of torch: it takes addresses, sizes and strides. The files here check
device, dtype and layout before an address is taken, allocate results, and keep the tensors alive
until the call returns.
"""

from __future__ import annotations

NAME = "native"
