"""CUDA graphs record launches; a copy from the host that is captured reads memory long gone."""

from __future__ import annotations

import torch


def copy_reasons(device: torch.device, instead: str) -> tuple[str, ...]:
    """Why a table cannot be copied to a device: a graph is captured on its current stream.

    Every operator that copies one asks this among its reasons, so that a capture goes on with
    another backend, or ends with an error that says what to do.

    Args:
        device: Of any type; only streams of CUDA devices are captured.
        instead: What is allowed, for the message.
    """
    if device.type != "cuda" or not _capturing(device):
        return ()
    return (
        "a table cannot be copied to the device while a CUDA graph is captured (allowed:"
        f" {instead})",
    )


def _capturing(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_current_stream_capturing()
