"""Size of the neural tangent kernel: how fast an untrained network would learn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from tvtfast.models import FeatureFn
from tvtfast.proxies.base import UndefinedScoreError
from tvtfast.proxies.kernel_proxy import kernel_proxy
from tvtfast.proxies.ntk import check_method, ntk_gram
from tvtfast.proxies.options import with_options


@with_options(
    partial(
        kernel_proxy,
        higher_is_better=True,
        description="root of the mean trace of the neural tangent kernel (NASI, ICLR 2022)",
    ),
    method=check_method,
)
def ntk_trace(
    module: nn.Module | Sequence[nn.Module],
    images: Tensor,
    *,
    method: str | None = None,
    feature_fn: FeatureFn | None = None,
) -> Tensor:
    r"""Root of the mean trace of the neural tangent kernel of a batch.

    .. math:: \sqrt{\mathrm{tr}(K) / B}

    for the kernel of `tvtfast.proxies.ntk_gram`, whose arguments and errors these are: the root
    mean square length of an image's gradient of the summed pooled feature. NASI takes the gradient
    of a loss instead, which needs labels. Without a module it is the proxy with that ``method``.

    Returns:
        Scalar, fp64, without history, or ``[R]`` for a sequence of modules; higher is better.
        Deterministic.

    Raises:
        UndefinedScoreError: The kernel of a single module holds NaN or infinite values.

    Source: Shu et al., "NASI: Label- and Data-agnostic Neural Architecture Search at
    Initialization", ICLR 2022.
    """
    products = ntk_gram(module, images, method=method, feature_fn=feature_fn)
    score = products.diagonal(dim1=-2, dim2=-1).mean(dim=-1).sqrt()
    if isinstance(module, nn.Module) and not score.isfinite():
        raise UndefinedScoreError("the neural tangent kernel holds NaN or infinite values")
    return score
