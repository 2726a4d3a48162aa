"""What a tournament depends on, as plain values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import torch

from tvtfast.common.hashing import fingerprint
from tvtfast.data import Splits
from tvtfast.pipeline.finalists.choosing import Field


def of_candidates(field: Field) -> dict[str, Any]:
    """What the choice of finalists depends on. Scores of proxies that tell what they depend on
    stand for their values, which may differ in the last bits from machine to machine."""
    table = field.table
    texts = "\n".join(field.space.text(arch) for arch in table.candidates)
    told: dict[str, Any] = {}
    for proxy in table.scored:
        known = table.determined_by.get(proxy)
        told[proxy] = (
            {name: value for name, value in known.items() if name != "device"}
            if known
            else fingerprint(torch.from_numpy(table[proxy]))
        )
    learnt = field.calibration
    return {
        "space": field.space.name,
        "candidates": hashlib.sha256(texts.encode()).hexdigest(),
        "scores": json.loads(json.dumps(told)),
        "constraints": {name: list(window) for name, window in table.constraints.items()},
        "budget": field.budget,
        "calibration": None if learnt is None else fingerprint(torch.tensor(learnt.posterior.mean)),
        "model options": asdict(field.options),
    }


def of_images(splits: Splits) -> dict[str, Any]:
    """All images, those to train on first."""
    parts = [part for part in (splits.train, splits.held_out, splits.test) if part is not None]
    return {
        "data set": splits.train.name,
        "search split": splits.share,
        "images": [len(part) for part in parts],
        "labels": fingerprint(*(part.labels for part in parts)),
        "pixels": [part.fingerprint for part in parts],
    }
