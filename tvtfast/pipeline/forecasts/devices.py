"""What a device that is not here would take: published ceilings, and a share of them.

Nothing in this file is measured, and nothing that rests on it is a claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tvtfast.common.forecast import Forecast, Part
from tvtfast.pipeline.forecasts.counting import Work

UTILISATION = 0.4
"""Share of a device's ceilings that is assumed to be reached."""
LEAST_UTILISATION, MOST_UTILISATION = 0.1, 0.7
"""Ends of the interval."""
LAUNCH = 5e-6
"""Seconds that are assumed for a launch, on top of a call that this machine makes."""
_SINGLE = "float32"


@dataclass(frozen=True)
class Device:
    """Ceilings of a device, as its maker publishes them.

    Args:
        name: Of the device.
        single: FLOP/s in float32, without TF32, which the operators never use.
        half: FLOP/s in bfloat16 and float16 on dense matrices.
        bandwidth: Bytes per second of its memory.
        memory: Bytes of it.
        source: Where the numbers stand.
    """

    name: str
    single: float
    half: float
    bandwidth: float
    memory: float
    source: str

    def ceiling(self, dtype: str) -> float:
        """FLOP/s in a number format."""
        return self.single if dtype == _SINGLE else self.half

    def seconds(self, work: Work, dtype: str, utilisation: float) -> float:
        """Seconds of some work: those of its FLOPs or of its bytes, whichever are more."""
        computing = work.flops / self.ceiling(dtype)
        moving = work.bytes / self.bandwidth
        return max(computing, moving) / utilisation


DEVICES: Mapping[str, Device] = {
    "a100": Device(
        "NVIDIA A100 SXM 80 GB", 19.5e12, 312e12, 2.039e12, 80e9, "NVIDIA A100 data sheet, 2021"
    ),
    "h100": Device(
        "NVIDIA H100 SXM", 67e12, 989.4e12, 3.35e12, 80e9, "NVIDIA H100 data sheet, 2023"
    ),
    "h200": Device(
        "NVIDIA H200 SXM", 67e12, 989.4e12, 4.8e12, 141e9, "NVIDIA H200 data sheet, 2024"
    ),
    "l4": Device("NVIDIA L4", 30.3e12, 121e12, 0.3e12, 24e9, "NVIDIA L4 data sheet, 2023"),
}
"""Devices by the name that ``--device`` of a plan takes; half is without sparsity."""


def on_device(
    forecast: Forecast,
    device: Device,
    dtype: str,
    each: Mapping[str, Work],
    fixed: Mapping[str, Work],
    call_seconds: float,
    **more: str,
) -> Forecast:
    """The forecast with some of its parts on a device: what the device takes or what the host takes
    to call it, whichever is more. Memory is not known.

    Args:
        forecast: As measured on this machine.
        device: The device.
        dtype: Number format of the work.
        each: Work of a candidate or an epoch, by part.
        fixed: Work that does not depend on how many there are, by part.
        call_seconds: What the host takes for a call of an operator.
        **more: What else is assumed, by name.
    """

    host = call_seconds + LAUNCH

    def part(known: Part, utilisation: float) -> Part:
        def seconds(work: Work) -> float:
            return max(device.seconds(work, dtype, utilisation), work.calls * host)

        if known.name in each:
            known = replace(known, each=seconds(each[known.name]))
        if known.name in fixed:
            known = replace(known, fixed=seconds(fixed[known.name]))
        return known

    def total(utilisation: float) -> float:
        parts = tuple(part(one, utilisation) for one in forecast.parts)
        return replace(forecast, parts=parts).seconds()

    middle = total(UTILISATION)
    all_work = [*each.items(), *fixed.items()]
    counted = "; ".join(
        f"{name}: {work.flops / 1e9:.3g} GFLOP, {work.bytes / 1e9:.3g} GB, {work.calls:,.0f} calls"
        for name, work in all_work
    )
    return replace(
        forecast,
        parts=tuple(part(one, UTILISATION) for one in forecast.parts),
        low=forecast.low * total(MOST_UTILISATION) / middle,
        high=forecast.high * total(LEAST_UTILISATION) / middle,
        memory=None,
        assumed={
            "device": f"{device.name}: {device.ceiling(dtype) / 1e12:g} TFLOP/s in {dtype} and "
            f"{device.bandwidth / 1e12:g} TB/s are its published ceilings ({device.source})",
            "utilisation": f"{UTILISATION:.0%} of them, {LEAST_UTILISATION:.0%} to "
            f"{MOST_UTILISATION:.0%} in the interval",
            "work": f"counted in small runs on this CPU, every operand of every operator as read "
            f"or written once; a candidate or epoch each ({counted})",
            "host": f"{call_seconds * 1e6:.1f} us for a call of an operator, as the smallest "
            f"addition takes here, and {LAUNCH * 1e6:g} us for a launch; all other parts as this "
            "machine takes them",
            **more,
        },
    )
