"""Losses on fused operators in torchdistill's registry.

``register()`` once, then a training configuration names them as it names ``ATLoss``::

    key: FusedATLoss
    kwargs:
      at_pairs:
        last:
          student: {io: output, path: blocks.11, grid: [14, 14], prefix_tokens: 1}
          teacher: {io: output, path: layer4}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.common.names import unknown
from tvtfast.common.optional import need
from tvtfast.models import SpatialFeatures

RELATIONS = ("batch_similarity", "cc", "distance", "rkd_angle")
IO = Mapping[str, Mapping[str, Tensor]]


class FusedATLoss(nn.Module):
    r"""``ATLoss`` with ``mode="code"``, each pair in one operator and its gradient in another.

    .. math:: \sum_l w_l \, \mathrm{mean}_{b,p} (a(s_l)_{bp} - a(t_l)_{bp})^2

    with the attention map :math:`a(x)_p = \mathrm{mean}_c x_{cp}^2`, unit L2 norm over positions.
    Where the grids differ, both are resized to the larger one (bilinear). Differentiable once;
    teachers are constants.

    Args:
        at_pairs: As of ``ATLoss``. Maps are ``[B, C, H, W]``; tokens ``[B, P + h*w, C]`` have
            ``grid: [h, w]`` and ``prefix_tokens: P`` (default 0) beside their path.
        mode: ``code``; for ``paper`` use ``ATLoss``.

    Source: Zagoruyko and Komodakis, "Paying more attention to attention", ICLR 2017.
    """

    def __init__(self, at_pairs: Mapping[str, Mapping[str, Any]], mode: str = "code") -> None:
        super().__init__()
        if mode != "code":
            raise ValueError(f"mode={mode!r}: FusedATLoss is mode 'code'; use ATLoss for others")
        self.at_pairs = at_pairs

    def forward(self, student_io_dict: IO, teacher_io_dict: IO, *_: Any, **__: Any) -> Tensor:
        total: Any = 0.0
        for pair in self.at_pairs.values():
            student = _features(student_io_dict, pair["student"])
            teacher = _features(teacher_io_dict, pair["teacher"])
            size = (max(student.size[0], teacher.size[0]), max(student.size[1], teacher.size[1]))
            distance = student.attention_map_distance(teacher.attention_map(size).detach(), size)
            total = total + pair.get("weight", 1) * distance.mean()
        return total


class RelationLoss(nn.Module):
    """Distance between the relations of samples in a student and in a teacher, of any widths.

    Formulas: ``tvtfast.kernels.relation_*``. ``batch_similarity`` divides rows by their L2 norms as
    the paper does, ``SPKDLoss`` by their L1 norms. Teachers are constants.

    Args:
        student_output_path: Module whose output ``[B, ...]`` is compared; likewise the teacher's.
        relation: One of `RELATIONS`.
    """

    def __init__(
        self, student_output_path: str, teacher_output_path: str, relation: str = RELATIONS[0]
    ) -> None:
        super().__init__()
        if relation not in RELATIONS:
            raise ValueError(unknown("relation", relation, RELATIONS))
        self.paths = student_output_path, teacher_output_path
        self.distance = getattr(kernels, f"relation_{relation}")

    def forward(self, student_io_dict: IO, teacher_io_dict: IO, *_: Any, **__: Any) -> Tensor:
        student = student_io_dict[self.paths[0]]["output"]
        teacher = teacher_io_dict[self.paths[1]]["output"].detach()
        return self.distance(student.flatten(1), teacher.flatten(1))


def register() -> None:
    """Add both losses to torchdistill's middle level, under the names of their classes."""
    need("torchdistill", "1.1", what="tvtfast.adapters.torchdistill", extra="hosts")
    from torchdistill.losses.registry import register_mid_level_loss

    for loss in (FusedATLoss, RelationLoss):
        register_mid_level_loss(loss)


def _features(io_dict: IO, place: Mapping[str, Any]) -> SpatialFeatures:
    x, grid = io_dict[place["path"]][place["io"]], place.get("grid")
    return SpatialFeatures(x, None if grid is None else tuple(grid), place.get("prefix_tokens", 0))
