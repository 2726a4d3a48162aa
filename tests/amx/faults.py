"""Faults planted into the kernels for AMX, each with the case of ``cases.py`` that must find it."""

from __future__ import annotations

from ..emulation.faults import Fault
from ..emulation.faults import plant as plant_these

TILES, LINEAR, ATTENTION = "amx_tiles.h", "linear_tiles.h", "attention_amx.h"

FAULTS = (
    Fault(
        "tiles are not configured", TILES, "_tile_loadconfig(&kFullTiles)", "void()", "linear_edges"
    ),
    Fault("tiles are not released", TILES, "_tile_release()", "void()", "linear_edges"),
    Fault("sums are not zeroed", TILES, "_tile_zero(0)", "void()", "linear_edges"),
    Fault("rows of A are dense", TILES, "a_stride * sizeof(BFloat16)", "64", "linear_layers"),
    Fault(
        "rows of B lie one tile apart",
        TILES,
        "N * kTileWords * sizeof(float)",
        "kTileWords * sizeof(float)",
        "linear_edges",
    ),
    Fault(
        "rows of sums lie two tiles apart",
        TILES,
        "out_stride * sizeof(float)",
        "2 * kTileWords * sizeof(float)",
        "attention_edges",
    ),
    Fault("the upper rows twice", TILES, "a + kTileRows * a_stride", "a", "linear_edges"),
    Fault("the lower sums over the upper", TILES, "out + kTileRows * out_stride", "out", "mlp"),
    Fault("the first columns twice", TILES, "b + kTileWords", "b", "linear_edges"),
    Fault("the same pairs in every step", TILES, "a + 2 * step", "a", "linear_edges"),
    Fault(
        "the last pairs are left out",
        TILES,
        "step < steps",
        "step + kTileWords < steps",
        "linear_edges",
    ),
    Fault("pairs of the weight out of order", LINEAR, "(step + i)", "(step + (i ^ 1))", "mlp"),
    Fault("outputs and pairs are exchanged", LINEAR, "Isa::transpose(words)", "void()", "mlp"),
    Fault(
        "no zeros behind the last input",
        LINEAR,
        "std::fill(tile + task.inputs, tile + width, Factor{})",
        "void()",
        "linear_edges",
    ),
    Fault(
        "a part of a tile is read in place",
        LINEAR,
        "task.inputs % kWhole",
        "task.inputs % kTerms",
        "linear_edges",
    ),
    Fault(
        "a tile of rows too few",
        "linear_amx_bf16.cpp",
        "rows > kTileRows",
        "rows > kTileRows + 1",
        "linear_edges",
    ),
    Fault(
        "keys behind the last", ATTENTION, "head.tokens - 1", "head.tokens + 30", "attention_edges"
    ),
    Fault(
        "pairs of channels from the first",
        ATTENTION,
        "k + key * head.row_stride + 2 * step",
        "k + key * head.row_stride",
        "attention_edges",
    ),
    Fault(
        "values behind the last pair",
        ATTENTION,
        "rows < 1",
        "false",
        "attention_edges",
    ),
    Fault(
        "the value behind an odd one",
        ATTENTION,
        "std::min<std::int64_t>(2, head.tokens - 2 * step)",
        "2",
        "attention_edges",
    ),
    Fault(
        "channels of a query behind the last",
        ATTENTION,
        "std::clamp<std::int64_t>(head.dim - d, 0, Isa::kLanes)",
        "Isa::kLanes",
        "attention_edges",
    ),
    Fault(
        "queries behind the last",
        ATTENTION,
        "row < rows",
        "true",
        "attention_layer",
        "const Vector values =\n            ",
        "address",
    ),
    Fault("no mask behind the last key", ATTENTION, "tokens - t", "2 * kLanes", "attention_edges"),
    Fault(
        "a maximum for every lane",
        ATTENTION,
        "Isa::set(Isa::largest(maximum))",
        "maximum",
        "attention_layer",
    ),
    Fault(
        "probabilities where scores were",
        ATTENTION,
        "scores + t / 2",
        "scores + t",
        "attention_edges",
    ),
    Fault(
        "scores of another row",
        ATTENTION,
        "row * at.score_stride",
        "row * head.tokens",
        "attention_edges",
    ),
    Fault("the sum of the first row", ATTENTION, "sums[row]", "sums[0]", "attention_edges", "1 / "),
    Fault(
        "channels of the next head are written",
        ATTENTION,
        "std::min(Isa::kLanes, head.dim - column - n * kTileWords)",
        "Isa::kLanes",
        "attention_output",
    ),
    Fault(
        "two tiles of keys where there is one",
        ATTENTION,
        "tiles_from(key, head.tokens) == 2",
        "true",
        "attention_edges",
    ),
    Fault(
        "too little room for scores",
        ATTENTION,
        "scores + kTile * score_stride",
        "scores",
        "attention_edges",
        sanitizer="address",
    ),
)


def plant(name: str, text: str) -> str:
    """All faults of a file, none of them at work."""
    return plant_these(name, text, FAULTS)
