"""What every operator promises: its schema, with its error bound, its costs and a typical call.

This table is read by the registration (:mod:`.library`), the dispatch and the tests, so a promise
is written once. It binds together what :mod:`.tolerances`, :mod:`.costs` and :mod:`.examples` say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from . import costs, examples, tolerances

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Input dtypes of every operator."""


@dataclass(frozen=True)
class Operator:
    """One registered operator.

    Attributes:
        schema: Its ``torch.library`` schema; the name of the operator is the text before ``(``.
        tolerance: Bound of its error, a rule of :mod:`.tolerances`.
        traffic: Bytes that must cross the memory bus, from the arguments of the operator.
        flops: Floating-point operations that must be done, from the arguments of the operator.
        example: ``example(device="cpu")``: arguments of a typical call on a device, in fp32 where
            fast backends take it.
    """

    schema: str
    tolerance: Callable[..., float]
    traffic: Callable[..., int]
    flops: Callable[..., int]
    example: Callable[..., tuple[Any, ...]]

    @property
    def name(self) -> str:
        return self.schema.partition("(")[0]


OPERATORS = {
    operator.name: operator
    for operator in (
        Operator(
            "attention_map(Tensor x, SymInt[] size, *, str? backend=None)"
            " -> (Tensor map, Tensor norm)",
            tolerances.map_tolerance,
            costs.attention_map_bytes,
            costs.attention_map_flops,
            examples.attention_map,
        ),
        Operator(
            "attention_map_distance(Tensor x, Tensor teacher, SymInt[] size,"
            " *, str? backend=None) -> (Tensor distance, Tensor map, Tensor norm)",
            tolerances.distance_tolerance,
            costs.attention_map_distance_bytes,
            costs.attention_map_distance_flops,
            examples.attention_map_distance,
        ),
        Operator(
            "attention_map_distances(Tensor[] xs, Tensor teacher, SymInt[] size,"
            " *, str? backend=None) -> Tensor",
            tolerances.distance_tolerance,
            costs.attention_map_distances_bytes,
            costs.attention_map_distances_flops,
            examples.attention_map_distances,
        ),
        Operator(
            "attention_map_backward(Tensor x, Tensor map, Tensor norm, Tensor grad_map,"
            " SymInt[] size, *, str? backend=None) -> Tensor",
            tolerances.gradient_tolerance,
            costs.attention_map_backward_bytes,
            costs.attention_map_backward_flops,
            examples.attention_map_backward,
        ),
        Operator(
            "segment_norms(Tensor[] tensors, *, str? backend=None) -> Tensor",
            tolerances.norm_tolerance,
            costs.segment_norms_bytes,
            costs.segment_norms_flops,
            examples.segment_norms,
        ),
        Operator(
            "slice_norms(Tensor weight, Tensor sizes, *, str? backend=None) -> Tensor",
            tolerances.norm_tolerance,
            costs.slice_norms_bytes,
            costs.slice_norms_flops,
            examples.slice_norms,
        ),
        Operator(
            "indexed_normal_(Tensor(a!) tensor, int key, float mean, float std,"
            " *, str? backend=None) -> ()",
            tolerances.exact,
            costs.indexed_bytes,
            costs.indexed_flops,
            examples.indexed,
        ),
        Operator(
            "indexed_uniform_(Tensor(a!) tensor, int key, float low, float high,"
            " *, str? backend=None) -> ()",
            tolerances.exact,
            costs.indexed_bytes,
            costs.indexed_flops,
            examples.indexed,
        ),
        Operator(
            "self_attention_stats(Tensor q, Tensor k, Tensor? teacher, float scale,"
            " str[] statistics, *, str? backend=None) -> Tensor[]",
            tolerances.attention_tolerance,
            costs.self_attention_stats_bytes,
            costs.self_attention_stats_flops,
            examples.self_attention_stats,
        ),
        Operator(
            "packed_attention(Tensor qkv, int num_heads, float scale, *, str? backend=None)"
            " -> Tensor",
            tolerances.packed_attention_tolerance,
            costs.packed_attention_bytes,
            costs.packed_attention_flops,
            examples.packed_attention,
        ),
        Operator(
            "layer_norm(Tensor x, float eps, *, str? backend=None) -> Tensor",
            tolerances.layer_norm_tolerance,
            costs.layer_norm_bytes,
            costs.layer_norm_flops,
            examples.layer_norm,
        ),
        Operator(
            "linear(Tensor(a!) out, Tensor x, Tensor weight, Tensor? bias, Tensor? residual,"
            " float? norm_eps, bool gelu, *, str? backend=None) -> ()",
            tolerances.linear_tolerance,
            costs.linear_bytes,
            costs.linear_flops,
            examples.linear,
        ),
        Operator(
            "mlp_block(Tensor x, Tensor w1, Tensor? b1, Tensor w2, Tensor? b2, SymInt[] hidden,"
            " float eps, Tensor(a!) out, *, str? backend=None) -> ()",
            tolerances.mlp_block_tolerance,
            costs.mlp_block_bytes,
            costs.mlp_block_flops,
            examples.mlp_block,
        ),
        Operator(
            "attention_block(Tensor x, Tensor w_qkv, Tensor? b_qkv, Tensor w_proj, Tensor? b_proj,"
            " SymInt[] heads, float eps, Tensor(a!) out, *, str? backend=None) -> ()",
            tolerances.attention_block_tolerance,
            costs.attention_block_bytes,
            costs.attention_block_flops,
            examples.attention_block,
        ),
        Operator(
            "attention_jvp(Tensor q, Tensor k, Tensor v, Tensor dq, Tensor dk, Tensor dv,"
            " float scale, *, str? backend=None) -> (Tensor out, Tensor tangent)",
            tolerances.attention_jvp_tolerance,
            costs.attention_jvp_bytes,
            costs.attention_jvp_flops,
            examples.attention_jvp,
        ),
        Operator(
            "gram(Tensor x, Tensor? y, bool relative, *, str? backend=None) -> Tensor",
            tolerances.gram_tolerance,
            costs.gram_bytes,
            costs.gram_flops,
            examples.gram,
        ),
        Operator(
            "angle_distance(Tensor student, Tensor teacher, *, str? backend=None) -> Tensor",
            tolerances.angle_tolerance,
            costs.angle_distance_bytes,
            costs.angle_distance_flops,
            examples.angle_distance,
        ),
    )
}
"""Every registered operator by name."""
