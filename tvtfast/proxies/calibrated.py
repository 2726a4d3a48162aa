"""Accuracy foretold from a few trained candidates, named with the folder of the calibration.

Calibrations are no affair of proxies, so `tvtfast.scoring` is imported when the first one is asked
for.
"""

from __future__ import annotations

from tvtfast.proxies.base import register
from tvtfast.proxies.derived import DerivedProxy
from tvtfast.proxies.factory import ProxyFactory

CALIBRATED: ProxyFactory[DerivedProxy] = ProxyFactory(
    "calibrated",
    "tvtfast.scoring.calibration_file:proxy_of_folder",
    argument="the folder of a calibration",
    placeholder="FOLDER",
    description="accuracy that a calibration on a few trained candidates foretells",
)

register(CALIBRATED)
