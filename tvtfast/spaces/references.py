"""Published models by name, as architectures of the spaces.

Counts of the papers are for ImageNet at 224 x 224; they count one FLOP per multiply-add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tvtfast.common.names import unknown
from tvtfast.spaces.asvit import LARGEST
from tvtfast.spaces.autoformer import AutoFormerArch
from tvtfast.spaces.base import Space
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.pit import PiTArch
from tvtfast.spaces.registry import get
from tvtfast.spaces.vitas_twins import ATTENTIONS, VitasTwinsArch

_MILLION = 1e6
_BILLION = 1e9


@dataclass(frozen=True)
class Reference:
    """A published model.

    Args:
        name: Its name here.
        title: Its name in the paper.
        source: The paper.
        space: Name of the space whose family it is of; the space need not search it.
        arch: The architecture.
        options: What surrounds it, as published: 1,000 classes, 224 x 224 pixels.
        paper_params: Parameters by the paper.
        paper_macs: Multiply-adds of one image by the paper, which calls them FLOPs.
        notes: Where it is not what the paper has, and where the counts come from.
    """

    name: str
    title: str
    source: str
    space: str
    arch: Any
    options: ModelOptions
    paper_params: float | None
    paper_macs: float
    notes: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """Parameters of the model that `tvtfast.build` makes of it."""
        return self._space.params(self.arch, **asdict(self.options))

    @property
    def macs(self) -> int:
        """Its multiply-adds of one image: half of `tvtfast.spaces.Space.flops`."""
        return self._space.flops(self.arch, **asdict(self.options)) // 2

    @property
    def is_searched(self) -> bool:
        """Whether a search of its space could propose it."""
        return self._space.contains(self.arch)

    @property
    def _space(self) -> Space[Any]:
        return get(self.space)


def references() -> tuple[str, ...]:
    """Names that `reference` knows."""
    return tuple(_references)


def reference(name: str) -> Reference:
    """A published model by name, such as ``deit-tiny``.

    Raises:
        ValueError: An unknown name; the message lists the known ones.
    """
    found = _references.get(name)
    if found is None:
        raise ValueError(unknown("reference", name, _references))
    return found


_DEIT = "Touvron et al., ICML 2021"
_PIT = "Heo et al., ICCV 2021"
_TWINS = "Chu et al., NeurIPS 2021"
_AUTOFORMER = "Chen et al., ICCV 2021"
_VITAS = "Su et al., ECCV 2022"
_ASVIT = "Chen et al., ICLR 2022"
_COUNTER = (
    "the paper's figure is by the released counter, which leaves out the class token and counts "
    "the classifier once per patch (`original_flops` of the space); parameters are not given"
)
_FITTED = (
    "its string is not published: depths and width are those of the family that come closest to "
    "the paper's counts"
)


def _deits() -> Iterator[Reference]:
    options = ModelOptions(1000, pool="token")
    for size, title, dim, heads, params, macs in (
        ("tiny", "DeiT-Ti", 192, 3, 5.7, 1.3),
        ("small", "DeiT-S", 384, 6, 22.1, 4.6),
    ):
        arch = AutoFormerArch(dim, 12, (4.0,) * 12, (heads,) * 12)
        yield _of(f"deit-{size}", title, _DEIT, "autoformer-tiny", arch, options, params, macs)


def _pits() -> Iterator[Reference]:
    for size, base, heads, params, macs in (
        ("Ti", 32, (2, 4, 8), 4.9, 0.71),
        ("XS", 48, (2, 4, 8), 10.6, 1.4),
        ("S", 48, (3, 6, 12), 23.5, 2.9),
    ):
        arch, title = PiTArch(base, 4, (2, 6, 4), heads), f"PiT-{size}"
        yield _of(title.lower(), title, _PIT, "pit", arch, ModelOptions(1000), params, macs)


def _twins() -> Iterator[Reference]:
    dims, depths = (64, 128, 256, 512), (2, 2, 10, 4)
    width = [dim for dim, depth in zip(dims, depths, strict=True) for _ in range(depth)]
    arch = VitasTwinsArch(
        dims,
        depths,
        tuple(ATTENTIONS[block % 2] for depth in depths for block in range(depth)),
        tuple(dim // 32 for dim in width),
        tuple(3 * dim for dim in width),
        tuple(4 * dim for dim in width),
    )
    options = ModelOptions(1000)
    yield _of("twins-svt-s", "Twins-SVT-S", _TWINS, "vitas-twins", arch, options, 24.0, 2.9)


def _autoformers() -> Iterator[Reference]:
    for size, dim, ratios, heads, params, macs in (
        ("tiny", 192, "7767668878787", (3,) * 10 + (4, 3, 3), 5.8, 1.3),
        ("small", 384, "6767888888878", (6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7), 22.9, 5.1),
        ("base", 576, "77878776886867", (9,) * 5 + (10, 9, 9, 10, 9, 10, 9, 9, 10), 53.7, 11.0),
    ):
        arch = AutoFormerArch(dim, len(ratios), tuple(int(half) / 2 for half in ratios), heads)
        letter = size[0]
        yield _of(
            f"autoformer-{letter}",
            f"AutoFormer-{letter.upper()}",
            _AUTOFORMER,
            f"autoformer-original-{size}",
            arch,
            ModelOptions(1000),
            params,
            macs,
            "the authors count multiply-adds by formulas of their own",
        )


_GENOTYPES = {
    "a": (
        "vitas-deit",
        "1 2 4 3 4 4 1 3 4 3 4 4 4 4 3 3 4 0 0 3 1 6 7 9 4 3 6 8 4 9 1 8 6 4 9 2 7 6 8 9 3 0 3 8 7"
        " 0 5 7 9 8 4 4",
        0.858,
    ),
    "b": (
        "vitas-deit",
        "1 3 4 4 3 4 3 4 4 2 2 4 2 3 4 4 1 0 0 4 1 5 1 6 2 2 2 3 2 9 2 6 3 9 5 7 7 5 6 4 8 1 5 3 2"
        " 8 5 9 2 4 5 5",
        1.0,
    ),
    "c": (
        "vitas-deit-cell",
        {
            "patch_size": 16,
            "embed_dim": 230,
            "depth": 12,
            "num_heads": [3] * 12,
            "qkv_dim": [432] * 12,
            "mlp_dim": [720] * 12,
        },
        1.3,
    ),
    "e": (
        "vitas-deit",
        "1 3 4 3 4 3 1 4 0 4 2 1 2 4 2 1 2 0 0 8 4 4 1 7 6 5 3 8 5 6 5 6 3 6 3 4 4 4 8 8 8 7 4 0 4"
        " 5 9 5 3 6 7 8",
        2.7,
    ),
    "f": (
        "vitas-deit-large",
        "1 3 3 3 3 3 3 3 3 3 3 3 3 3 0 0 3 2 5 0 7 5 2 3 6 6 2 4 4 8 7 4 6 7 2 6 1 6 6 4 7 5 7",
        4.9,
    ),
}
"""Space, what the authors release, and billions of multiply-adds by their counter."""


def _vitas() -> Iterator[Reference]:
    for letter, (space, given, macs) in _GENOTYPES.items():
        decoded = get(space).decode(given)
        title, options = f"ViTAS-{letter.upper()}", ModelOptions(1000)
        yield _of(f"vitas-{letter}", title, _VITAS, space, decoded, options, None, macs, _COUNTER)


def _asvits() -> Iterator[Reference]:
    space, options = get("asvit"), ModelOptions(1000)
    counts = "the released code, which this is, counts less than the paper"
    for size, arch, params, macs, *fitted in (
        ("small", "8,2,3,3|4,1,2,1|4,1,4,4|4,1,6,2|32,88", 29.0, 5.3, _FITTED),
        ("base", "8,2,3,3|4,1,2,1|4,1,4,5|4,1,6,2|32,116", 52.6, 8.9, _FITTED),
        ("large", str(LARGEST), 88.1, 22.6),
    ):
        title, decoded = f"As-ViT-{size.capitalize()}", space.decode(arch)
        yield _of(
            f"as-vit-{size}",
            title,
            _ASVIT,
            "asvit",
            decoded,
            options,
            params,
            macs,
            *fitted,
            counts,
        )


def _of(
    name: str,
    title: str,
    source: str,
    space: str,
    arch: Any,
    options: ModelOptions,
    params: float | None,
    macs: float,
    *notes: str,
) -> Reference:
    """With the paper's counts in millions and billions."""
    millions = None if params is None else params * _MILLION
    return Reference(name, title, source, space, arch, options, millions, macs * _BILLION, notes)


_references: dict[str, Reference] = {}
for _family in (_deits, _pits, _twins, _autoformers, _vitas, _asvits):
    _references.update((one.name, one) for one in _family())
