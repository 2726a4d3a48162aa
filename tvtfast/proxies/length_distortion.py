"""How an untrained network bends a circle of inputs: the complexity metrics of As-ViT.

The circle is ``h(t) = cos(t) u + sin(t) w`` for orthonormal images ``u``, ``w``, and ``z(t)`` the
pooled feature of ``h(t)``, every layer norm set to identity; ``v = dz/dt`` and ``a = d^2z/dt^2``.
Points lie at ``n`` angles from 0 to 2 pi, both included: the first point counts twice and is
computed once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tvtfast import kernels
from tvtfast.common import checks
from tvtfast.models import (
    CandidateModel,
    FeatureFn,
    IdentityNorms,
    jvp,
    passes_of_draws,
    pooled_features,
    run_together,
    temporary_mode,
)
from tvtfast.proxies.circle_proxy import circle_proxy
from tvtfast.proxies.options import with_options

POINTS = 10
PUBLISHED_CHUNK = 6
"""Points of a forward pass of the published code."""
METHODS = ("forward", "published")
_check_method = partial(checks.choice, "method", allowed=METHODS)
_check_points = partial(checks.whole, "points", least=2)


@with_options(
    partial(
        circle_proxy,
        description="length of the image of a circle of inputs (As-ViT, arXiv 2202.11921)",
    ),
    points=_check_points,
    method=_check_method,
)
def length_distortion(
    module: nn.Module | Sequence[nn.Module],
    *,
    img_size: int | tuple[int, int],
    points: int = POINTS,
    seed: int | Sequence[int] = 0,
    method: str = "forward",
    directions: Tensor | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Length of the image of a circle, summed over points without a step width.

    .. math:: L^E = \sum_n \lVert v(t_n) \rVert_2

    ``method="forward"`` pushes the tangents of all points through the network in one pass: by
    `tvtfast.kernels.attention_jvp` and fused derivatives in candidates of tvtfast, by
    ``torch.func.jvp`` in other modules. ``method="published"`` runs one backward pass per
    coordinate of the feature and six points, as the released code does: the oracle of the other.
    Without a module it is the proxy with those ``points`` and that ``method``; so are `curvature`
    and `gauss_length`.

    Args:
        module: Any module; evaluated in evaluation mode with its weights and in their dtype, and
            left as it was. Norms other than layer norms stay. Or a sequence of ``R`` modules:
            weight draws of one architecture are computed together, see
            `tvtfast.models.passes_of_draws`.
        img_size: Height and width of the images.
        points: Angles on the circle, at least 2.
        seed: Seed of the circle, see `circle_directions`; or one per module.
        method: ``forward`` or ``published``.
        directions: ``u`` and ``w``, orthonormal ``[2, C*H*W]``, of all modules; drawn from ``seed``
            by default.
        feature_fn: How to read features, see `tvtfast.models.pooled_features`.

    Returns:
        Scalar, fp64, or ``[R]`` for a sequence, without history; higher is better. The published
        score is the mean over five draws of weights and circle. A draw has the value that its
        module has alone, but for the order in which matrix products sum.

    Raises:
        ValueError: An unknown method, fewer than 2 points, directions of another shape, no module,
            or another number of seeds.

    Source: As-ViT (arXiv 2202.11921), expected length distortion.
    """
    _check_method(method)

    def length(network: nn.Module, circle: Circle) -> Tensor:
        if method == "published":
            speeds = _published_velocities(network, circle, feature_fn).norm(dim=1)
            return speeds.double().sum()[None]
        _, velocities = jvp(
            lambda images: pooled_features(network, images, feature_fn=feature_fn),
            circle.images(circle.distinct),
            circle.tangents(circle.distinct),
            by_hand=feature_fn is None and isinstance(network, CandidateModel),
        )
        return circle.sum(velocities.double().norm(dim=1))

    together = method == "forward" and feature_fn is None
    return _measured(length, module, img_size, points, seed, directions, together)


@with_options(
    partial(
        circle_proxy,
        description="curvature of the image of a circle of inputs (As-ViT, arXiv 2202.11921)",
    ),
    points=_check_points,
)
def curvature(
    module: nn.Module | Sequence[nn.Module],
    *,
    img_size: int | tuple[int, int],
    points: int = POINTS,
    seed: int | Sequence[int] = 0,
    directions: Tensor | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Extrinsic curvature of the image of a circle, summed over points.

    .. math:: \kappa = \sum_n (v \cdot v)^{-3/2} \sqrt{(v \cdot v)(a \cdot a) - (v \cdot a)^2}

    Arguments and errors are those of `length_distortion`; derivatives by nested ``torch.func.jvp``.

    Returns:
        Scalar, fp64, or ``[R]``, without history; higher is better; NaN where the image stands
        still.

    Source: As-ViT (arXiv 2202.11921); Poole et al., NeurIPS 2016.
    """

    def bend(network: nn.Module, circle: Circle) -> Tensor:
        turning, squares = _turning(network, circle, feature_fn)
        return circle.sum(turning / squares.pow(1.5))

    return _measured(bend, module, img_size, points, seed, directions, feature_fn is None)


@with_options(
    partial(
        circle_proxy,
        description="how far the image of a circle of inputs turns (As-ViT, arXiv 2202.11921)",
    ),
    points=_check_points,
)
def gauss_length(
    module: nn.Module | Sequence[nn.Module],
    *,
    img_size: int | tuple[int, int],
    points: int = POINTS,
    seed: int | Sequence[int] = 0,
    directions: Tensor | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Length of the Gauss map of the image of a circle: how far its direction turns.

    .. math:: L^G = \sum_n \left\lVert \frac{d}{dt} \frac{v}{\lVert v \rVert} \right\rVert_2
        = \sum_n \frac{\sqrt{(v \cdot v)(a \cdot a) - (v \cdot a)^2}}{v \cdot v}

    The released code takes the norm of ``v`` for a constant and sums ``|a| / |v|``. Arguments and
    errors are those of `length_distortion`.

    Returns:
        Scalar, fp64, or ``[R]``, without history; higher is better; NaN where the image stands
        still.

    Source: As-ViT (arXiv 2202.11921); Poole et al., NeurIPS 2016.
    """

    def turn(network: nn.Module, circle: Circle) -> Tensor:
        turning, squares = _turning(network, circle, feature_fn)
        return circle.sum(turning / squares)

    return _measured(turn, module, img_size, points, seed, directions, feature_fn is None)


def circle_directions(seed: int, img_size: int | tuple[int, int], channels: int = 3) -> Tensor:
    """Two orthonormal images ``[2, C*H*W]``, fp64: a uniformly random plane and basis.

    Normal numbers keyed by index (`tvtfast.kernels.indexed_normal_`), made orthonormal. Equal on
    every device; sizes share the numbers at every pixel both have.
    """
    height, width = _pair(img_size)
    normal = torch.empty(2, channels, height, width)
    kernels.indexed_normal_(normal, seed=seed, name="circle")
    first, second = normal.double().flatten(1)
    first = first / first.norm()
    second = second - (first @ second) * first
    return torch.stack((first, second / second.norm()))


class Circle:
    """Images on a circle, and the directions in which they move; a circle for each of ``R``
    draws."""

    def __init__(
        self,
        module: nn.Module,
        img_size: int | tuple[int, int],
        points: int,
        seeds: Sequence[int],
        directions: Tensor | None,
    ) -> None:
        if points < 2:
            raise ValueError(f"points is {points}; give 2 or more, both ends of the circle count")
        channels = module.options.in_chans if isinstance(module, CandidateModel) else 3
        self.shape = (channels, *_pair(img_size))
        wanted = (2, math.prod(self.shape))
        if directions is not None and tuple(directions.shape) != wanted:
            raise ValueError(
                f"directions has shape {list(directions.shape)}; pass two orthonormal rows "
                f"{list(wanted)} for images {list(self.shape)}"
            )
        draws = [
            circle_directions(seed, self.shape[1:], channels) if directions is None else directions
            for seed in seeds
        ]
        weight = next((p for p in module.parameters() if p.is_floating_point()), draws[0])
        self.directions = torch.stack(draws, dim=1).to(weight.device, weight.dtype)
        """``[2, R, C*H*W]``."""
        self.angles = torch.linspace(0, 2 * math.pi, points, dtype=torch.float64).to(
            self.directions
        )
        self.distinct = self.angles[:-1]

    def images(self, angles: Tensor) -> Tensor:
        """``h(t)``, draw by draw ``[R*n, C, H, W]``."""
        rows = torch.stack((angles.cos(), angles.sin()), dim=1)
        images = (rows @ self.directions.flatten(1)).unflatten(1, (-1, *self.shape))
        return images.transpose(0, 1).flatten(0, 1)

    def tangents(self, angles: Tensor) -> Tensor:
        """``dh/dt``, draw by draw ``[R*n, C, H, W]``."""
        return self.images(angles + math.pi / 2)

    def sum(self, values: Tensor) -> Tensor:
        """Sums ``[R]`` over all points, from values ``[R*n]`` at distinct ones."""
        by_draw = values.unflatten(0, (-1, len(self.distinct)))
        return by_draw.sum(dim=1) + by_draw[:, 0]


def _measured(
    measure: Callable[[nn.Module, Circle], Tensor],
    module: nn.Module | Sequence[nn.Module],
    img_size: int | tuple[int, int],
    points: int,
    seed: int | Sequence[int],
    directions: Tensor | None,
    together: bool,
) -> Tensor:
    """What ``measure`` finds, ``[R]`` from a network and circles, for one module or several.

    It has no history: tangents carried by hand have none, and half a gradient is worse than none.
    """
    modules = [module] if isinstance(module, nn.Module) else list(module)
    seeds = list(seed) if isinstance(seed, Sequence) else [seed] * len(modules)
    if not modules or len(seeds) != len(modules):
        raise ValueError(
            f"there are {len(modules)} modules and {len(seeds)} seeds; give one module or more, and"
            " one seed for all or one each"
        )
    size = _pair(img_size)
    one_by_one = [slice(place, place + 1) for place in range(len(modules))]
    found = []
    for part in passes_of_draws(modules, points - 1, size) if together else one_by_one:
        circle = Circle(modules[part.start], size, points, seeds[part], directions)
        with run_together(modules[part]) as network, _prepared(network):
            found.append(measure(network, circle).detach())
    return found[0][0] if isinstance(module, nn.Module) else torch.cat(found)


@contextmanager
def _prepared(module: nn.Module) -> Iterator[None]:
    with temporary_mode(module, training=False), IdentityNorms():
        yield


def _published_velocities(
    module: nn.Module, circle: Circle, feature_fn: FeatureFn | None
) -> Tensor:
    """``v`` at every point, ``[n, c]``, one backward pass per coordinate."""
    found = []
    with torch.enable_grad():
        for angles in circle.angles.split(PUBLISHED_CHUNK):
            angles = angles.clone().requires_grad_()
            features = pooled_features(module, circle.images(angles), feature_fn=feature_fn)
            columns = [
                torch.autograd.grad(feature.sum(), angles, retain_graph=True)[0]
                for feature in features.unbind(1)
            ]
            found.append(torch.stack(columns, dim=1))
    return torch.cat(found)


def _turning(
    module: nn.Module, circle: Circle, feature_fn: FeatureFn | None
) -> tuple[Tensor, Tensor]:
    """``sqrt((v.v)(a.a) - (v.a)^2)`` and ``v.v`` at distinct points, fp64 ``[R*n]``."""

    def feature(angles: Tensor) -> Tensor:
        return pooled_features(module, circle.images(angles), feature_fn=feature_fn)

    def velocity(angles: Tensor) -> Tensor:
        return _derivative(feature, angles)[1]

    with _prepared(module), sdpa_kernel(SDPBackend.MATH):
        v, a = (x.double() for x in _derivative(velocity, circle.distinct))
    squares = v.square().sum(dim=1)
    # (v.v)(a.a) - (v.a)^2 is v.v times the square of what of a is orthogonal to v
    across = a - ((v * a).sum(dim=1) / squares)[:, None] * v
    return squares.sqrt() * across.norm(dim=1), squares


def _derivative(function: Callable[[Tensor], Tensor], angles: Tensor) -> tuple[Tensor, Tensor]:
    found = torch.func.jvp(function, (angles,), (torch.ones_like(angles),))
    return found[0], found[1]


def _pair(img_size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    return height, width
