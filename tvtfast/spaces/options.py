"""What surrounds an architecture when it becomes a model: classes, input size, patches, tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from tvtfast.spaces.plain import plain, real, whole

_SMALL_IMAGE = 112
_PATCHES_PER_SIDE = 8


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

    Raises:
        ValueError: A value out of range, or an image smaller than one patch.
    """

    num_classes: int = 100
    img_size: tuple[int, int] = (224, 224)
    patch_size: int = 16
    in_chans: int = 3
    distilled: bool = False
    drop_path_rate: float = 0.1

    def __post_init__(self) -> None:
        size = plain(self.img_size)
        sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        given: dict[str, Any] = {
            "img_size": tuple(whole("model options", "img_size", side) for side in sides)
        }
        for name in ("num_classes", "patch_size", "in_chans"):
            given[name] = whole("model options", name, getattr(self, name))
            if given[name] < 1:
                raise ValueError(f"{name} must be at least 1, got {given[name]}")
        given["distilled"] = bool(self.distilled)
        given["drop_path_rate"] = real("model options", "drop_path_rate", self.drop_path_rate)
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if len(self.img_size) != 2 or min(self.img_size) < self.patch_size:
            raise ValueError(
                f"img_size {self.img_size} with patch_size {self.patch_size} leaves no patch; "
                "img_size is (height, width) in pixels, each at least patch_size"
            )
        if not 0.0 <= self.drop_path_rate < 1.0:
            raise ValueError(f"drop_path_rate must be in [0, 1), got {self.drop_path_rate}")

    @classmethod
    def of(cls, **options: Any) -> ModelOptions:
        """Build the options from keywords and name the known ones when one is unknown.

        Raises:
            TypeError: An option that no candidate model has.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise TypeError(f"unknown model option {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**options)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens before the patches in models that have a class token: that one and, if distilled,
        the distillation token."""
        return 2 if self.distilled else 1


def default_patch_size(img_size: int) -> int:
    """Side of a patch that suits square images: 16 pixels, or an eighth of images below 112."""
    return 16 if img_size >= _SMALL_IMAGE else max(1, img_size // _PATCHES_PER_SIDE)
