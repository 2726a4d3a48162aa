"""What timm asks of a model beside its forward pass: sizes, classifier, groups of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tvtfast.common import checks
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.spaces.options import ModelOptions

NAME = "tvtfast_student"
"""What `timm.create_model` knows candidates by."""

_NOT_DECAYED = ("pos_embed", "cls_token", "dist_token")
_LAST = 99999


class TimmInterface(nn.Module):
    """The interface of timm's models, for all candidates.

    Args:
        options: What surrounds the architecture.

    Attributes:
        in_chans: Channels of the images.
        num_classes: Width of the classifier; 0 without one.
        num_features: Width of the tokens of the last block; so are ``embed_dim`` and
            ``head_hidden_size``, of what the classifier reads.
        global_pool: What the classifier reads: ``"token"``, ``"avg"``, or ``""`` for every normed
            token.
        pretrained_cfg: How images become the input, and the names of layers, as timm describes
            them; ``default_cfg`` too. With the normalisation of a student folder, else ImageNet's.
        grad_checkpointing: Whether blocks are computed again in the backward pass.
    """

    first_conv: ClassVar[str] = "patch_embed.proj"
    """The convolution that reads the images."""
    fixed_input_size: ClassVar[bool] = True
    """Whether images have the size that the model was built for."""
    global_pools: ClassVar[tuple[str, ...]] = ("avg",)
    """What a classifier can read."""
    checkpoints_blocks: ClassVar[bool] = False
    """Whether its blocks run through `run_block`."""

    head: nn.Module
    head_dist: nn.Module
    num_features: int
    head_hidden_size: int
    embed_dim: int

    def __init__(self, options: ModelOptions) -> None:
        super().__init__()
        self.options = options
        self.in_chans, self.num_classes = options.in_chans, options.num_classes
        self.global_pool = "avg"
        self.grad_checkpointing = False
        self.distilled_training = False
        self.describe_input()

    def describe_input(
        self,
        normalization: Normalization = IMAGENET_NORMALIZATION,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Say in ``pretrained_cfg`` what the images are normalised with and the classes are."""
        layers = layers_of(type(self), distilled=self.options.distilled)
        described = pretrained_cfg(asdict(self.options), normalization, classes, layers)
        self.pretrained_cfg = self.default_cfg = {"architecture": NAME, **described}

    def add_classifier(self, width: int) -> None:
        """Make ``head``, and ``head_dist`` of a distilled model, for vectors ``[B, width]``."""
        self.num_features = self.head_hidden_size = self.embed_dim = width
        for name in self._head_names():
            setattr(self, name, nn.Linear(width, self.num_classes))

    def get_classifier(self) -> nn.Module | tuple[nn.Module, nn.Module]:
        """The classifier; of a distilled model both."""
        return (self.head, self.head_dist) if self.options.distilled else self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a new one, drawn by torch as `torch.nn.Linear` is.

        Args:
            num_classes: Its width; 0 leaves it out, and the model returns what it would read.
            global_pool: What it reads: ``"token"`` or ``"avg"`` where the model has a choice, or
                ``""`` for every normed token; default what it has read.

        Raises:
            ValueError: A number below 0, or what the model cannot read.
        """
        classes = checks.whole("num_classes", num_classes, least=0)
        if global_pool is not None:
            checks.choice("global_pool", global_pool, (*self.global_pools, ""))
            self.global_pool = global_pool
        like = next(self.parameters())
        for name in self._head_names():
            made: nn.Module = nn.Identity()
            if classes:
                made = nn.Linear(
                    self.head_hidden_size, classes, device=like.device, dtype=like.dtype
                )
            setattr(self, name, made.train(self.training))
        self.num_classes = classes

    def _head_names(self) -> tuple[str, ...]:
        return ("head", "head_dist") if self.options.distilled else ("head",)

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not decayed, beside biases and norms."""
        return {name for name in _NOT_DECAYED if hasattr(self, name)}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's description of which parameters are of which layer, from input to output.

        Args:
            coarse: By stage, where a model has several; else by block.
        """
        stem = r"^(?:cls_token|dist_token|pos_embed|patch_embed\.)"
        parts = r"^(?:patch_embeds|stages|blocks|pos_block|pools|merges)\.(\d+)\."
        if coarse:
            return {"stem": stem, "blocks": parts}
        return {
            "stem": stem,
            "blocks": [
                (r"^(?:stages|blocks)\.(\d+)\.(\d+)\.", None),
                (r"^blocks\.(\d+)\.", None),
                (r"^patch_embeds\.(\d+)\.", (-1,)),
                (r"^pos_block\.(\d+)\.", (0,)),
                (r"^(?:pools|merges)\.(\d+)\.", (_LAST,)),
            ],
        }

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute blocks again in the backward pass in place of keeping what is inside them.

        Raises:
            ValueError: The model runs its blocks by itself.
        """
        if enable and not self.checkpoints_blocks:
            raise ValueError(
                f"{type(self).__name__} does not run its blocks through run_block, so that they "
                "cannot be computed again; leave gradient checkpointing out"
            )
        self.grad_checkpointing = enable

    def run_block(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        """``block(*inputs)``, whose insides are not kept for the backward pass where that was
        asked for."""
        if self.grad_checkpointing and torch.is_grad_enabled():
            output: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return output
        return block(*inputs)

    def set_distilled_training(self, enable: bool = True) -> None:
        """Return both heads' logits while training.

        Raises:
            ValueError: There is no distillation head.
        """
        if enable and not self.options.distilled:
            raise ValueError(
                f"{type(self).__name__} has no distillation head; build it with distilled=True"
            )
        self.distilled_training = enable


def layers_of(model: Any, *, distilled: bool) -> dict[str, Any]:
    """What timm is told of the layers of a candidate.

    Args:
        model: Its class, or what makes it.
        distilled: Whether it has a distillation head.
    """
    known = model if isinstance(model, type) and issubclass(model, TimmInterface) else TimmInterface
    return {
        "first_conv": known.first_conv,
        "fixed_input_size": known.fixed_input_size,
        "classifier": ["head", "head_dist"] if distilled else "head",
    }


def pretrained_cfg(
    options: Mapping[str, Any],
    normalization: Normalization,
    classes: Sequence[str] | None,
    layers: Mapping[str, Any],
) -> dict[str, Any]:
    """What timm knows of weights: how images become their input, what their classes are, and names
    of layers."""
    described = {
        "input_size": (options["in_chans"], *options["img_size"]),
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
        "num_classes": options["num_classes"],
        **{name: tuple(values) for name, values in asdict(normalization).items()},
        **layers,
    }
    return described if classes is None else described | {"label_names": list(classes)}
