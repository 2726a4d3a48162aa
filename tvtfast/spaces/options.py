"""What surrounds an architecture when it becomes a model: classes, input size, patches, tokens."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from tvtfast.common import checks
from tvtfast.common.names import unknown
from tvtfast.spaces.plain import plain

_SMALL_IMAGE = 112
_PATCHES_PER_SIDE = 8
POOLS = ("token", "avg")
"""What a classifier can read."""
SOFTMAX_SCALES = ("released", "released-supernet")
"""Ways of the released code of ViTAS to scale the softmax."""

_NAMED = 8
"""Patch sizes that a message names."""


@dataclass(frozen=True)
class ModelOptions:
    """What a candidate's counts and module depend on besides its architecture.

    Args:
        num_classes: Width of the classifier.
        img_size: Input height and width in pixels; one integer stands for a square image.
        patch_size: Side of the square patch of the embedding convolution, in pixels; As-ViT has
            its own.
        in_chans: Channels of the input image.
        distilled: Adds a second classifier head, and a distillation token where there is a class
            token.
        drop_path_rate: Stochastic depth rate of the last block; the rates rise linearly from 0. It
            changes neither the parameter count nor the FLOPs.
        pool: What the classifier reads, after the final norm: ``"token"``, the class token (and the
            distillation head its own), or ``"avg"``, the mean over the tokens. ``None`` is what
            models of the space have been published with, see `Space.pools`. timm calls it
            ``global_pool``. Counts do not depend on it.
        softmax_scale: What the softmax of ViTAS over DeiT is scaled by, to the power of -1/2.
            ``None``: the true width of a head. ``"released"``, as the released code has it in what
            it retrains: the width of the net over the heads, rounded down. ``"released-supernet"``,
            as in its supernet: a third of the widest net, rounded down. With either the final norm
            adds 1e-5 to the variance, as there. Counts do not depend on it.
        norm_eps: What the norms of blocks and the final norm add to the variance; ``None`` is 1e-6
            (for the final norm, what ``softmax_scale`` says). AutoFormer's supernet has 1e-5.
            Counts do not depend on it.

    Raises:
        ValueError: A value out of range, or an image smaller than one patch.
    """

    num_classes: int = 100
    img_size: tuple[int, int] = (224, 224)
    patch_size: int = 16
    in_chans: int = 3
    distilled: bool = False
    drop_path_rate: float = 0.1
    pool: str | None = None
    softmax_scale: str | None = None
    norm_eps: float | None = None

    def __post_init__(self) -> None:
        size = plain(self.img_size)
        sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        given: dict[str, Any] = {
            "img_size": tuple(checks.whole("img_size", side, least=1) for side in sides)
        }
        for name in ("num_classes", "patch_size", "in_chans"):
            given[name] = checks.whole(name, getattr(self, name), least=1)
        given["distilled"] = bool(self.distilled)
        given["drop_path_rate"] = checks.real(
            "drop_path_rate", self.drop_path_rate, least=0, below=1
        )
        if self.norm_eps is not None:
            given["norm_eps"] = checks.real("norm_eps", self.norm_eps, above=0)
        checks.choice("pool", self.pool, (None, *POOLS))
        checks.choice("softmax_scale", self.softmax_scale, (None, *SOFTMAX_SCALES))
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if len(self.img_size) != 2 or min(self.img_size) < self.patch_size:
            raise ValueError(
                f"img_size {self.img_size} with patch_size {self.patch_size} leaves no patch; "
                "img_size is (height, width) in pixels, each at least patch_size"
            )

    @classmethod
    def of(cls, **options: Any) -> ModelOptions:
        """Build the options from keywords and name the known ones when one is unknown.

        Raises:
            TypeError: An option that no candidate model has.
        """
        known = [field.name for field in fields(cls)]
        foreign = sorted(set(options) - set(known))
        if foreign:
            raise TypeError(unknown("model option", foreign[0], known))
        return cls(**options)

    @property
    def identity(self) -> dict[str, Any]:
        """What keys of stored scores hold of them: an option that came later is in it where it is
        given, so that earlier scores are found again."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def patch_grid(self, overlap: int = 1) -> tuple[int, int]:
        """Rows and columns of patches, which cover the whole image.

        Args:
            overlap: Patches begin every ``patch_size // overlap`` pixels.

        Raises:
            ValueError: They would leave pixels out; the message names the sides that do not.
        """

        def fits(patch: int) -> bool:
            step = patch // overlap
            return step > 0 and all((side - patch) % step == 0 for side in self.img_size)

        if not fits(self.patch_size):
            height, width = self.img_size
            every = [patch for patch in range(1, min(self.img_size) + 1) if fits(patch)]
            nearest = sorted(every, key=lambda patch: abs(patch - self.patch_size))[:_NAMED]
            raise ValueError(
                f"patch_size is {self.patch_size}, and patches of it do not cover images of "
                f"{height} x {width} pixels; give one of {', '.join(map(str, sorted(nearest)))}, "
                "or another img_size"
            )
        step = self.patch_size // overlap
        height, width = ((side - self.patch_size) // step + 1 for side in self.img_size)
        return height, width

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches in models that have a class token: that one and, if distilled,
        the distillation token."""
        return 2 if self.distilled else 1


def default_patch_size(img_size: int) -> int:
    """Side of a patch that suits square images: about 16 pixels, or an eighth of images below 112,
    and a divisor of their side.

    Raises:
        ValueError: No divisor is near, as for 97 pixels; the message names a side that has one.
    """
    checks.whole("img_size", img_size, least=1)
    if (patch := _near_divisor(img_size)) is not None:
        return patch
    other = next(side for side in range(img_size - 1, 0, -1) if _near_divisor(side) is not None)
    raise ValueError(
        f"img_size is {img_size}, which no patch of about {_wanted_patch(img_size):g} pixels "
        f"divides; give another, such as {other}, or a patch_size"
    )


def _near_divisor(img_size: int) -> int | None:
    """The divisor nearest to what is wanted, by ratio; ``None`` where it is off by more than 2."""
    wanted = _wanted_patch(img_size)
    sides = (side for side in range(1, img_size + 1) if img_size % side == 0)
    patch = min(sides, key=lambda side: abs(math.log(side / wanted)))
    return patch if wanted / 2 <= patch <= 2 * wanted else None


def _wanted_patch(img_size: int) -> float:
    return 16 if img_size >= _SMALL_IMAGE else max(1, img_size / _PATCHES_PER_SIDE)
