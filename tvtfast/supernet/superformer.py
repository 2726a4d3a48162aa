"""One network whose slices are the candidates of a space."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tvtfast.common import checks
from tvtfast.initialization import draw_, framework_init
from tvtfast.models import ChainedModel, SpatialFeatures, blank, parameter_rule
from tvtfast.spaces import QKV_MODES, ModelOptions, Piece, Space
from tvtfast.spaces import get as get_space
from tvtfast.supernet.intervals import Interval, intervals, sides
from tvtfast.supernet.pieces import Pieces, check_uncut, pieces_of

_KEPT_SKELETONS = 64


class Superformer(nn.Module):
    """The superformer of ViTAS: all candidates of a space share its weights.

    A candidate is computed by its own module (`tvtfast.build`) on slices of the stored weights:
    views wherever its channels lie side by side, and else gathered once per pass (circular
    intervals that wrap around, and q, k and v of a fused projection). Class token and positions
    are private to a patch size; the released code broadcasts the last position to all tokens, here
    each token has its own. Identity blocks take no part: the blocks of a candidate are the first
    ones, see `tvtfast.spaces.VitasDeitSpace`.
    Source: Su et al., ECCV 2022.

    Args:
        space: A space that implements `Space.largest`, `Space.genes` and `Space.layout`, such as
            those of ViTAS and AutoFormer, or its name. Its models are
            `tvtfast.models.ChainedModel`.
        sharing: Which channels a narrower candidate takes, see `tvtfast.supernet.intervals`;
            default that of the space (`Space.usual_sharing`): ``cyclic`` in those of ViTAS, and
            ``ordinal``, which is weight entanglement, in those of AutoFormer.
        qkv_mode: What is private to a number of heads, see `tvtfast.spaces.QKV_MODES`; default
            that of the space (`Space.usual_qkv_mode`), 2 in those of ViTAS and 0 in those of
            AutoFormer.
        fused_qk: Cut q and k (in mode 0 also v) as one weight, as the released code of ViTAS does,
            see `tvtfast.spaces.Space.fused_layout`; by default each is cut by itself.
        seed: Seed of the weights.
        device: Where they live; default CPU.
        **options: Fields of `tvtfast.spaces.ModelOptions`. There is no stochastic depth and no
            distillation token.

    Attributes:
        subnet: The candidate that ``forward`` computes while training.
        reference: The candidate that it computes in evaluation mode.

    Raises:
        ValueError: A space without superformer, or one that does not say where a parameter lies; an
            unknown way of sharing or mode, or ``distilled=True``.
    """

    def __init__(
        self,
        space: str | Space[Any],
        *,
        sharing: str | None = None,
        qkv_mode: int | None = None,
        fused_qk: bool = False,
        seed: int = 0,
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.space = get_space(space)
        self.options = replace(ModelOptions.of(**options), drop_path_rate=0.0)
        if self.options.distilled:
            raise ValueError("a superformer has no distillation token; leave distilled out")
        sharing = self.space.usual_sharing if sharing is None else sharing
        qkv_mode = self.space.usual_qkv_mode if qkv_mode is None else qkv_mode
        checks.choice("qkv_mode", qkv_mode, QKV_MODES)
        self.sharing, self.qkv_mode, self.sides = sharing, qkv_mode, sides(sharing)
        self.fused_qk = fused_qk
        self._skeletons: OrderedDict[Any, _Skeleton] = OrderedDict()
        self._complete = False
        self.stored = nn.ParameterDict()
        for arch in self.space.largest():
            self._store(arch, seed, device)
            self.reference = arch
        self.subnet = self.reference
        self._complete = True

    def _store(self, arch: Any, seed: int, device: torch.device | str | None) -> None:
        """Make the parameters that one of the largest candidates uses, as far as there are none."""
        skeleton = self.skeleton(arch)
        rule = parameter_rule(self.space)
        for name, parameter in skeleton.model.named_parameters():
            owner_name, _, short = name.rpartition(".")
            owner = skeleton.model.get_submodule(owner_name)
            declared = rule(name, owner) if rule is not None else None
            init = replace(declared or framework_init(owner, short, parameter), groups=1)
            for piece in skeleton.pieces[name]:
                if _stored_name(piece.key) in self.stored:
                    continue
                shape = [
                    size if axis is None else axis.widths[-1]
                    for size, axis in zip(parameter.shape, piece.axes, strict=True)
                ]
                drawn = torch.empty(shape, device=device or "cpu")
                draw_(drawn, piece.key, seed, init)
                self.stored[_stored_name(piece.key)] = nn.Parameter(drawn)

    def skeleton(self, arch: Any) -> _Skeleton:
        """The module of a candidate, without weights."""
        if arch not in self._skeletons:
            model = blank(arch, space=self.space, **asdict(self.options))
            if not isinstance(model, ChainedModel):
                raise ValueError(
                    f"models of space {self.space.name!r} are {type(model).__name__}; a "
                    "superformer runs candidates in parts: derive them from "
                    "tvtfast.models.ChainedModel"
                )
            layout = self.space.fused_layout if self.fused_qk else self.space.layout
            pieces = pieces_of(model, layout(arch, self.qkv_mode), self.space)
            if self._complete:
                check_uncut(model, pieces, self._stored, self.space)
            self._skeletons[arch] = _Skeleton(model, pieces)
            if len(self._skeletons) > _KEPT_SKELETONS:
                self._skeletons.popitem(last=False)
        return self._skeletons[arch]

    def weights(
        self, arch: Any, side: int = 0, within: tuple[str, ...] = ("",)
    ) -> dict[str, Tensor]:
        """The parameters of a candidate by name, as slices of the stored ones; gradients flow back.

        Args:
            arch: An architecture of the space.
            side: 0, or 1 for the last channels of ``bilateral``.
            within: Only parameters whose names begin with one of these.

        Raises:
            ValueError: A side that the way of sharing does not have.
        """
        if not 0 <= side < self.sides:
            raise ValueError(
                f"side is {side}; sharing {self.sharing!r} has {self.sides}: give 0 to "
                f"{self.sides - 1}"
            )
        taken: dict[str, Tensor] = {}
        for name, pieces in self.skeleton(arch).pieces.items():
            if name.startswith(within):
                parts = [self._slice(piece, side) for piece in pieces]
                taken[name] = parts[0] if len(parts) == 1 else torch.cat(parts)
        return taken

    def _stored(self, key: str) -> Tensor:
        """A stored parameter by the key of a piece."""
        name = _stored_name(key)
        if name not in self.stored:
            raise ValueError(
                f"space {self.space.name!r} cuts a parameter out of {key}, which none of its "
                "largest candidates has; let largest() give one that has it"
            )
        stored: Tensor = self.stored[name]
        return stored

    def _slice(self, piece: Piece, side: int) -> Tensor:
        taken = self._stored(piece.key)
        for dim, axis in enumerate(piece.axes):
            if axis is not None:
                taken = _along(taken, dim, intervals(axis.widths, self.sharing)[axis.width][side])
        return taken

    def features_and_outputs(
        self, images: Tensor, arch: Any, side: int = 0
    ) -> tuple[list[SpatialFeatures], Tensor]:
        """Features of every block of a candidate, and its logits ``[B, num_classes]``."""
        model = self.skeleton(arch).model

        def run(x: Tensor) -> tuple[list[SpatialFeatures], Any]:
            features = list(model.block_features(x))
            return features, model.forward_head(features[-1].x)

        found: tuple[list[SpatialFeatures], Tensor] = self._call(run, images, arch, side)
        return found

    def run_link(self, x: Tensor, arch: Any, place: int, side: int = 0) -> Tensor:
        """One of the links of a candidate (`tvtfast.models.Link`), by its place."""
        link = self.skeleton(arch).links[place]
        after: Tensor = self._call(link.run, x, arch, side, link.parameters)
        return after

    def run_head(self, tokens: Tensor, arch: Any, side: int = 0) -> Tensor:
        """Logits ``[B, num_classes]`` from what comes after the last link of a candidate."""
        model = self.skeleton(arch).model
        logits: Tensor = self._call(model.forward_head, tokens, arch, side, model.head_parameters)
        return logits

    def _call(
        self,
        part: Callable[[Tensor], Any],
        x: Tensor,
        arch: Any,
        side: int,
        within: tuple[str, ...] = ("",),
    ) -> Any:
        skeleton = self.skeleton(arch)
        if skeleton.training != self.training:
            skeleton.train(self.training)
        weights = {f"model.{name}": w for name, w in self.weights(arch, side, within).items()}
        return functional_call(skeleton, weights, (part, x), tie_weights=False)

    def forward(self, images: Tensor, arch: Any = None, side: int | None = None) -> Tensor:
        """Logits ``[B, num_classes]`` of a candidate.

        Args:
            images: ``[B, C, H, W]``, normalised.
            arch: An architecture of the space; default ``subnet`` while training and ``reference``
                in evaluation mode.
            side: 0 or 1; default the sum over all sides.
        """
        if arch is None:
            arch = self.subnet if self.training else self.reference
        passes = range(self.sides) if side is None else (side,)
        logits = [self.features_and_outputs(images, arch, one)[1] for one in passes]
        return logits[0] if len(logits) == 1 else torch.stack(logits).sum(dim=0)


class _Skeleton(nn.Module):
    """The module of a candidate, any part of which is called with weights of the superformer.

    Attributes:
        links: Its parts.
        pieces: By parameter where it lies.
    """

    def __init__(self, model: ChainedModel, pieces: Pieces) -> None:
        super().__init__()
        self.model = model
        self.links = tuple(model.links())
        self.pieces = pieces

    def forward(self, part: Callable[[Tensor], Any], x: Tensor) -> Any:
        return part(x)


def _along(x: Tensor, dim: int, interval: Interval) -> Tensor:
    """The channels of an interval: ``x``, a view of it, or two views joined where it wraps."""
    if interval.is_whole:
        return x
    pieces = [x.narrow(dim, start, length) for start, length in interval.pieces]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=dim)


def _stored_name(key: str) -> str:
    """Names of parameters have no dots."""
    return key.replace(".", "/")
