"""The YAML files of AutoFormer and TF-TAS, and of Auto-Prox (pycls), read and written.

AutoFormer's hold ``SEARCH_SPACE`` and, of a subnet, ``RETRAIN``; TF-TAS uses the same for PiT.
Auto-Prox has ``AUTOFORMER_SUBNET`` or ``PIT_SUBNET`` beside the settings of model and training, and
DeiT in ``TRANSFORMER`` alone. What of a file is no architecture, space or model option is left.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tvtfast.common.files import replacing
from tvtfast.common.foreign import reading
from tvtfast.spaces.autoformer import AutoFormerSpace
from tvtfast.spaces.base import Space
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.pit import PiTSpace
from tvtfast.spaces.plain import real, shown, whole
from tvtfast.spaces.registry import all_spaces, get

SUFFIXES = (".yaml", ".yml")
"""Endings of their names."""
_ADVICE = (
    "give a file with RETRAIN or SEARCH_SPACE (AutoFormer, TF-TAS), or with AUTOFORMER_SUBNET, "
    "PIT_SUBNET or a DeiT in TRANSFORMER (Auto-Prox)"
)
_PATCH = 16
_Lists: TypeAlias = tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]
_HELD = ("num_classes", "patch_size", "drop_path_rate")


@dataclass(frozen=True)
class Description:
    """What a file says.

    Args:
        space: The registered space with its lists, if there is one. Of a file with an architecture
            that is else the space that first searched its family; of one without, a space of its
            own, named after the file and not registered.
        arch: The architecture, decoded; ``None`` in a file of a space alone.
        model_options: Fields of `tvtfast.spaces.ModelOptions` that it states.
    """

    space: Space[Any]
    arch: Any | None
    model_options: Mapping[str, Any] = field(default_factory=dict)


def read_yaml(path: str | os.PathLike[str]) -> Description:
    """Read a file of AutoFormer, TF-TAS or Auto-Prox.

    Raises:
        FileNotFoundError: There is none.
        BadFileError: Not YAML, none of these, or an architecture that is not sound.
    """
    import yaml

    path = Path(path)
    with reading(path, "YAML of an architecture", advice=_ADVICE):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, Mapping):
            raise ValueError(f"it is a {type(content).__name__}")
        found = (_autoprox if "MODEL" in content else _autoformer)(content, path.stem)
        ModelOptions.of(**found.model_options)
    return found


def write_yaml(
    path: str | os.PathLike[str],
    arch: Any = None,
    *,
    space: str | Space[Any],
    **model_options: Any,
) -> None:
    """Write a file that the authors' code reads: of AutoFormer for spaces with its relative
    positions, else of Auto-Prox.

    Args:
        path: The file, which is replaced at once.
        arch: An architecture in any encoding; ``None`` for the space alone.
        space: Its space, or the name of it.
        **model_options: Fields of `tvtfast.spaces.ModelOptions` that Auto-Prox' files hold:
            ``num_classes``, ``patch_size``, ``drop_path_rate``. AutoFormer's hold none.

    The lists of a PiT space are written stage by stage, as its authors write them: from the file of
    ``pit``, whose depths are ten of 27 combinations, ``pit-full-tiny`` is read.

    Raises:
        ValueError: A space whose authors have no such files, or an option that they do not hold.
    """
    import yaml

    resolved, options = get(space), ModelOptions.of(**model_options)
    held = _HELD if not getattr(resolved, "relative_position", False) else ()
    if unheld := sorted(set(model_options) - set(held)):
        raise ValueError(
            f"the authors' files of space {resolved.name!r} do not hold {', '.join(unheld)}; leave "
            "it out"
        )
    fields = None if arch is None else resolved.to_dict(resolved.decode(arch))
    if isinstance(resolved, AutoFormerSpace) and resolved.relative_position:
        content = _of_autoformer(resolved, fields)
    elif isinstance(resolved, (AutoFormerSpace, PiTSpace)):
        content = _of_autoprox(resolved, fields, options)
    else:
        raise ValueError(
            f"the authors of space {resolved.name!r} describe architectures by strings, not YAML; "
            "write one of an AutoFormer or PiT space"
        )
    with replacing(path) as target:
        target.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _autoformer(content: Mapping[str, Any], stem: str) -> Description:
    """``SEARCH_SPACE`` and ``RETRAIN``."""
    searched, subnet = _part(content, "SEARCH_SPACE"), _part(content, "RETRAIN")
    if "BASE_DIM" in (searched or subnet or {}):
        options = {"patch_size": _patch(subnet or searched or {})}
        return _described(_pit_space(searched, stem), _pit(subnet), "pit", options)
    arch = None
    if subnet is not None:
        names = {"EMBED_DIM": "hidden_dim", "DEPTH": "depth"}
        arch = _fields(subnet, names | {"MLP_RATIO": "mlp_ratio", "NUM_HEADS": "num_heads"})
    lists = _autoformer_lists(searched, "EMBED_DIM")
    space = None if lists is None else AutoFormerSpace(stem, *lists, relative_position=True)
    return _described(space, arch, "autoformer-original-tiny", {})


def _autoprox(content: Mapping[str, Any], stem: str) -> Description:
    """``MODEL``, and what belongs to its type."""
    model, settings = _part(content, "MODEL") or {}, _part(content, "TRANSFORMER") or {}
    options: dict[str, Any] = {"patch_size": _patch(settings)}
    if "NUM_CLASSES" in model:
        options["num_classes"] = model["NUM_CLASSES"]
    if "DROP_PATH_RATE" in settings:
        options["drop_path_rate"] = settings["DROP_PATH_RATE"]
    kind = model.get("TYPE")
    if kind == "PiT":
        space = _pit_space(_part(content, "PIT_SEARCH_SPACE"), stem)
        return _described(space, _pit(_part(content, "PIT_SUBNET")), "pit", options)
    if kind == "AutoFormerSub":
        lists = _autoformer_lists(_part(content, "AUTOFORMER_SEARCH_SPACE"), "HIDDEN_DIM")
        own = None if lists is None else AutoFormerSpace(stem, *lists)
        subnet = _part(content, "AUTOFORMER_SUBNET")
        names = {name.upper(): name for name in ("hidden_dim", "depth", "mlp_ratio", "num_heads")}
        arch = None if subnet is None else _fields(subnet, names)
        return _described(own, arch, "autoformer-tiny", options)
    if kind == "DeiT":
        depth = whole(stem, "DEPTH", settings.get("DEPTH"))
        arch = {
            "hidden_dim": settings.get("HIDDEN_DIM"),
            "depth": depth,
            "mlp_ratio": [settings.get("MLP_RATIO")] * depth,
            "num_heads": [settings.get("NUM_HEADS")] * depth,
        }
        return _described(None, arch, "autoformer-tiny", options | {"pool": "token"})
    raise ValueError(f"MODEL.TYPE is {shown(kind)}; known: AutoFormerSub, PiT, DeiT")


def _described(
    own: Space[Any] | None, fields: Mapping[str, Any] | None, family: str, options: dict[str, Any]
) -> Description:
    if own is None and fields is None:
        raise ValueError("it has neither a search space nor a subnet")
    known = None if own is None else _registered(own)
    if fields is None:
        assert own is not None
        return Description(known or own, None, options)
    space = known or get(family)
    return Description(space, space.decode(fields), options)


def _registered(own: Space[Any]) -> Space[Any] | None:
    """The registered space that searches the same."""
    return next((space for space in all_spaces() if _lists(space) == _lists(own)), None)


def _lists(space: Space[Any]) -> Any:
    if isinstance(space, AutoFormerSpace):
        lists = (space.hidden_dims, space.depths, space.mlp_ratios, space.head_counts)
        return space.relative_position, *lists
    if isinstance(space, PiTSpace):
        return space.base_dims, space.mlp_ratios, space.depth_triples, space.head_triples
    return space.name


def _autoformer_lists(searched: Mapping[str, Any] | None, width: str) -> _Lists | None:
    if searched is None:
        return None
    return (
        _list(searched, width, whole),
        _list(searched, "DEPTH", whole),
        _list(searched, "MLP_RATIO", real),
        _list(searched, "NUM_HEADS", whole),
    )


def _pit_space(searched: Mapping[str, Any] | None, stem: str) -> PiTSpace | None:
    """Depths are chosen per stage; heads too, of which the non-decreasing triples are searched."""
    if searched is None:
        return None
    stages = [_numbers(stage) for stage in searched.get("DEPTH", ())]
    heads = [_numbers(entry) for entry in searched.get("NUM_HEADS", ())]
    if len(stages) != 3 or not heads:
        raise ValueError("it has no DEPTH of three stages, or no NUM_HEADS")
    single = [entry[0] for entry in heads] if all(len(entry) == 1 for entry in heads) else heads[0]
    return PiTSpace(
        stem,
        _list(searched, "BASE_DIM", whole),
        _list(searched, "MLP_RATIO", whole),
        tuple(itertools.product(*map(tuple, stages))),
        tuple(itertools.combinations_with_replacement(sorted(single), 3)),
    )


def _pit(subnet: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """TF-TAS writes one base width per stage, and lists of one MLP ratio."""
    if subnet is None:
        return None
    names = ("base_dim", "mlp_ratio", "depth", "num_heads")
    fields = _fields(subnet, {name.upper(): name for name in names})
    for name in ("base_dim", "mlp_ratio"):
        value = fields[name]
        if isinstance(value, list):
            if len(set(value)) != 1:
                raise ValueError(f"{name.upper()} is {shown(value)}; give the same to every stage")
            fields[name] = value[0]
    return fields


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    part = content.get(name)
    if part is not None and not isinstance(part, Mapping):
        raise ValueError(f"{name} is {shown(part)}; it holds names and values")
    return part


def _fields(part: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    missing = [name for name in names if name not in part]
    if missing:
        raise ValueError(f"the subnet has no {', '.join(missing)}")
    return {ours: part[theirs] for theirs, ours in names.items()}


def _list(part: Mapping[str, Any], name: str, number: Callable[..., Any]) -> tuple[Any, ...]:
    values = part.get(name)
    if not isinstance(values, list) or not values:
        raise ValueError(f"{name} is {shown(values)}; it is a list of choices")
    return tuple(number("SEARCH_SPACE", name, value) for value in values)


def _numbers(entry: Any) -> list[int]:
    """The choices of a stage: a list, one number, or text such as ``1,2,3``."""
    parts = entry.split(",") if isinstance(entry, str) else entry
    parts = parts if isinstance(parts, list) else [parts]
    return [whole("SEARCH_SPACE", "a choice", int(part)) for part in parts]


def _patch(part: Mapping[str, Any]) -> Any:
    given = part.get("PATCH_SIZE", _PATCH)
    return given[0] if isinstance(given, list) and given else given


def _of_autoformer(space: AutoFormerSpace, fields: Mapping[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "SEARCH_SPACE": {
            "MLP_RATIO": list(space.mlp_ratios),
            "NUM_HEADS": list(space.head_counts),
            "DEPTH": list(space.depths),
            "EMBED_DIM": list(space.hidden_dims),
        }
    }
    if fields is not None:
        content["RETRAIN"] = {
            "MLP_RATIO": fields["mlp_ratio"],
            "NUM_HEADS": fields["num_heads"],
            "DEPTH": fields["depth"],
            "EMBED_DIM": fields["hidden_dim"],
        }
    return content


def _of_autoprox(
    space: AutoFormerSpace | PiTSpace, fields: Mapping[str, Any] | None, options: ModelOptions
) -> dict[str, Any]:
    plain = isinstance(space, AutoFormerSpace)
    content: dict[str, Any] = {
        "MODEL": {
            "TYPE": "AutoFormerSub" if plain else "PiT",
            "NUM_CLASSES": options.num_classes,
        },
        "TRANSFORMER": {
            "PATCH_SIZE": options.patch_size,
            "DROP_PATH_RATE": options.drop_path_rate,
        },
    }
    if isinstance(space, AutoFormerSpace):
        content["AUTOFORMER_SEARCH_SPACE"] = {
            "HIDDEN_DIM": list(space.hidden_dims),
            "MLP_RATIO": list(space.mlp_ratios),
            "DEPTH": list(space.depths),
            "NUM_HEADS": list(space.head_counts),
        }
    else:
        content["PIT"] = {"STRIDE": options.patch_size // 2}
        heads = sorted({count for triple in space.head_triples for count in triple})
        depths = [sorted(set(stage)) for stage in zip(*space.depth_triples, strict=True)]
        content["PIT_SEARCH_SPACE"] = {
            "BASE_DIM": list(space.base_dims),
            "MLP_RATIO": list(space.mlp_ratios),
            "DEPTH": depths,
            "NUM_HEADS": [heads] * 3,
        }
    if fields is not None:
        section = "AUTOFORMER_SUBNET" if plain else "PIT_SUBNET"
        content[section] = {name.upper(): value for name, value in fields.items()}
    return content
