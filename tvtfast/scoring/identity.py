"""What scores depend on: the text whose hash one is stored under, and the settings of all of a
run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from tvtfast.common.imports import imported
from tvtfast.proxies import DerivedProxy, Proxy
from tvtfast.scoring import cells
from tvtfast.scoring.own_space import space_definition
from tvtfast.scoring.setup import Setup


def around_candidate(setup: Setup, proxy: Proxy, seed: int) -> cells.Around:
    """The text around a candidate in the canonical JSON of all that its score depends on; it holds
    for all candidates, so it is made once.

    Args:
        setup: Under which scores are computed.
        proxy: The proxy.
        seed: Of the weights.
    """
    return cells.around_candidate(shared_fields(setup, proxy, seed))


def shared_fields(setup: Setup, proxy: Proxy, seed: int) -> dict[str, Any]:
    """What all scores of a proxy with one weight draw depend on beside the candidate, as plain JSON
    values."""
    fields: dict[str, Any] = {"proxy": proxy.name, "version": proxy.version}
    if proxy.needs:
        fields |= {
            "dtype": _precision(setup.conditions.dtype),
            "device": setup.conditions.device.type,
            "protocol": setup.protocol,
        }
    if proxy.depends_on is not None:
        fields["depends_on"] = dict(proxy.depends_on())
    if modules := imported():
        fields["imports"] = modules
    if "weights" in proxy.needs:
        if setup.weights is None:
            fields["init_seed"] = seed
        else:
            fields["weights"] = setup.weights.fingerprint
    if proxy.needs & {"images", "labels"} and setup.batch is not None:
        normalization = setup.batch.normalization
        fields["batch"] = [
            setup.batch.fingerprint,
            normalization and asdict(normalization),
            setup.redraw_from is not None,
        ]
    if "teacher" in proxy.needs and setup.teacher is not None:
        fields["teacher"] = setup.teacher_fingerprint
    return fields


def determined_by(setup: Setup) -> dict[str, dict[str, Any]]:
    """Per proxy what its column depends on beside the candidates."""
    found, options = {}, setup.options.identity
    for proxy in setup.single:
        seeds = setup.seeds_of(proxy)
        fields = shared_fields(setup, proxy, seeds[0])
        if "init_seed" in fields:
            fields["init_seed"] = list(seeds)
        found[proxy.name] = fields | options
    derived = [proxy for proxy in setup.combined if isinstance(proxy, DerivedProxy)]
    return found | {proxy.name: dict(proxy.depends_on) for proxy in derived}


def scoring_settings(setup: Setup) -> dict[str, Any]:
    """Everything that the scores of a run depend on besides the candidates, for people to read:
    images, teacher and other networks by their fingerprints."""
    batch, teacher, drawn = setup.batch, setup.teacher, setup.redraw_from
    normalization = None if batch is None else batch.normalization
    reader = setup.feature_fn
    definition = None if setup.space is None else space_definition(setup.space)
    return {
        "proxies": [*(p.name for p in setup.single), *(p.name for p in setup.combined)],
        "scored": {
            proxy.name: [proxy.version, dict(proxy.depends_on()) if proxy.depends_on else {}]
            for proxy in setup.single
            if proxy.name in setup.scored
        }
        | {
            proxy.name: dict(proxy.depends_on)
            for proxy in setup.combined
            if isinstance(proxy, DerivedProxy)
        },
        "seed": setup.seeds[0],
        "init_seeds": len(setup.seeds),
        "dtype": setup.conditions.dtype,
        "device": str(setup.conditions.device),
        "protocol": setup.protocol,
        "images": None if batch is None else batch.name,
        "images_fingerprint": None if batch is None else batch.fingerprint,
        "normalization": normalization and asdict(normalization),
        "redrawn_from": None if drawn is None else drawn.fingerprint,
        "teacher": None if teacher is None else teacher.name,
        "teacher_fingerprint": setup.teacher_fingerprint,
        "features": reader and getattr(reader, "__qualname__", type(reader).__name__),
        "model_options": setup.options.identity,
        **({} if setup.weights is None else {"weights_fingerprint": setup.weights.fingerprint}),
        **({} if definition is None else {"space_definition": definition}),
    }


def _precision(dtype: str) -> str:
    """The dtype, and what else decides how exact its matrix products are."""
    products = torch.get_float32_matmul_precision()
    return dtype if dtype != "float32" or products == "highest" else f"{dtype}, {products} products"
