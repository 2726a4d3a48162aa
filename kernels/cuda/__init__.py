"""CUDA C++ through ``tvtfast._cuda``, where the extension was built.

As with :mod:`..native`, the extension knows nothing of torch: it takes addresses, sizes, strides,
the device and the stream. The files here check device, dtype and layout before an address is taken,
and allocate results and scratch.

Work is queued on PyTorch's current stream of the device of the tensors, and nothing waits for it.
A tensor allocated here, or freed by its last reference while its kernel is still queued, belongs to
that stream, on which the allocator hands memory out again in order: no ``record_stream`` is needed.
As with every operator of PyTorch, a tensor made on another stream is the caller's to keep alive and
to order.
"""

from __future__ import annotations

NAME = "cuda"
