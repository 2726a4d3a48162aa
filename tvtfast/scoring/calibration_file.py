"""Calibrations on disk: one JSON file, read as data from outside."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvtfast.common.files import write_json
from tvtfast.common.foreign import BadFileError, reading
from tvtfast.proxies import CALIBRATED, DerivedProxy
from tvtfast.scoring.averaged_regression import Posterior
from tvtfast.scoring.calibration import LEAST, Calibration
from tvtfast.scoring.calibration_columns import KINDS, Array, Column

FILE = "calibration.json"
_VERSION = 1
_MOST_BYTES = 64 * 2**20


def save(calibration: Calibration, folder: str | os.PathLike[str]) -> Path:
    """See `Calibration.save`."""
    path = Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, _content(calibration))
    return path


def _content(calibration: Calibration) -> dict[str, Any]:
    posterior = calibration.posterior
    return {
        "version": _VERSION,
        "columns": [dataclasses.asdict(column) for column in calibration.columns],
        "mean": posterior.mean.tolist(),
        "covariance": posterior.covariance.tolist(),
        "noise": posterior.noise,
        "prior_alone": posterior.prior_alone,
        "center": calibration.center,
        "scale": calibration.scale,
        "trained": dict(calibration.trained),
        "set_aside": list(calibration.set_aside),
        "determined_by": {name: dict(by) for name, by in calibration.determined_by.items()},
        "notes": list(calibration.notes),
    }


def load(folder: str | os.PathLike[str]) -> Calibration:
    """See `Calibration.load`."""
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there; give a folder that 'tvtfast calibrate' or Calibration.save wrote"
        )
    with reading(path, "a calibration", advice="calibrate again"):
        if path.stat().st_size > _MOST_BYTES:
            raise BadFileError(f"{path} is larger than any calibration; calibrate again")
        return _parsed(json.loads(path.read_text(encoding="utf-8")))


def proxy_of_folder(folder: str) -> DerivedProxy:
    """The proxy ``calibrated:FOLDER``.

    Raises:
        FileNotFoundError: There is no calibration.
        BadFileError: It is damaged.
    """
    calibration = load(Path(folder).expanduser())
    return DerivedProxy(
        CALIBRATED.name,
        calibration.scores,
        description=CALIBRATED.description,
        derive=calibration.combine,
        depends_on={"calibration": _digest(calibration)},
        refuse_other_scores=calibration.refuse_other_scores,
        fitted_on=frozenset(calibration.trained) - frozenset(calibration.set_aside),
    )


def _digest(calibration: Calibration) -> str:
    text = json.dumps(_content(calibration), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parsed(content: Any) -> Calibration:
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"it is of no version that is known ({_VERSION})")
    columns = tuple(_column(fields) for fields in content["columns"])
    if not columns:
        raise ValueError("it has no columns")
    size = 1 + len(columns)
    covariance = _numbers(content["covariance"], (size, size))
    if np.linalg.eigvalsh(covariance).min() < -1e-6 or not np.allclose(covariance, covariance.T):
        raise ValueError("covariance is none")
    posterior = Posterior(
        _numbers(content["mean"], (size,)),
        covariance,
        _positive(content["noise"]),
        _share(content["prior_alone"]),
    )
    trained = {_text(arch): _number(value) for arch, value in content["trained"].items()}
    set_aside = tuple(_text(arch) for arch in content["set_aside"])
    if len(trained.keys() - set(set_aside)) < LEAST or not trained.keys() >= set(set_aside):
        raise ValueError(f"it has fewer than {LEAST} trained, or set aside what was not")
    return Calibration(
        columns,
        posterior,
        _number(content["center"]),
        _positive(content["scale"]),
        trained,
        set_aside,
        {_text(name): _mapping(by) for name, by in content["determined_by"].items()},
        tuple(_text(note) for note in content["notes"]),
    )


def _column(fields: Mapping[str, Any]) -> Column:
    given = dict(fields)
    name, kind = _text(given.pop("name")), given.pop("kind")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}")
    column = Column(name, kind, **{key: _number(value) for key, value in given.items()})
    _positive(column.spread)
    _positive(column.deviation)
    if column.sign not in (-1.0, 1.0):
        raise ValueError(f"sign is {column.sign}")
    return column


def _numbers(given: Any, shape: tuple[int, ...]) -> Array:
    found = np.array(given, dtype=np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"{shape} finite numbers are needed, it has {found.shape}")
    return found


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        raise ValueError(f"{given!r} is no finite number")
    return float(given)


def _positive(given: Any) -> float:
    if not _number(given) > 0:
        raise ValueError(f"{given!r} is not above 0")
    return float(given)


def _share(given: Any) -> float:
    if not 0 <= _number(given) <= 1:
        raise ValueError(f"{given!r} is no share")
    return float(given)


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{given!r} is no text")
    return given


def _mapping(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ValueError(f"{given!r} is no object")
    return given
