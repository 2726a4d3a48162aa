"""Search spaces: what a candidate may look like, as pure data."""

from __future__ import annotations

from tvtfast.spaces.asvit import AsViTArch, AsViTSpace
from tvtfast.spaces.autoformer import AutoFormerArch, AutoFormerSpace
from tvtfast.spaces.base import NotEnumerableError, Space
from tvtfast.spaces.choices import Choices, Decision, PerBlock
from tvtfast.spaces.constraints import (
    COUNTS,
    METRICS,
    PUBLISHED,
    Constraints,
    InfeasibleError,
    Window,
    describe_windows,
    parse_constraints,
    parse_windows,
    rounded_millions,
)
from tvtfast.spaces.options import ModelOptions, default_patch_size
from tvtfast.spaces.paths import Paths
from tvtfast.spaces.pit import PiTArch, PiTSpace
from tvtfast.spaces.references import Reference, reference, references
from tvtfast.spaces.registry import (
    PLUGINS,
    all_spaces,
    available,
    get,
    is_built_in,
    register,
    space_of_folder,
)
from tvtfast.spaces.skeletons import Skeleton
from tvtfast.spaces.slices import QKV_MODES, Axis, Genes, Layout, Piece, layer_pieces
from tvtfast.spaces.steps import Step
from tvtfast.spaces.variables import Condition, Variable
from tvtfast.spaces.vitas_cell import VitasCellSpace
from tvtfast.spaces.vitas_deit import VitasDeitArch, VitasDeitSpace
from tvtfast.spaces.vitas_twins import StageChoices, VitasTwinsArch, VitasTwinsSpace
from tvtfast.spaces.written import (
    ARCH_FORMS,
    Written,
    read_architecture,
    read_architectures,
    space_of,
)
from tvtfast.spaces.yaml_files import Description, read_yaml, write_yaml

__all__ = [
    "ARCH_FORMS",
    "COUNTS",
    "METRICS",
    "PLUGINS",
    "PUBLISHED",
    "QKV_MODES",
    "AsViTArch",
    "AsViTSpace",
    "AutoFormerArch",
    "AutoFormerSpace",
    "Axis",
    "Choices",
    "Condition",
    "Constraints",
    "Decision",
    "Description",
    "Genes",
    "InfeasibleError",
    "Layout",
    "ModelOptions",
    "NotEnumerableError",
    "Paths",
    "PerBlock",
    "PiTArch",
    "PiTSpace",
    "Piece",
    "Reference",
    "Skeleton",
    "Space",
    "StageChoices",
    "Step",
    "Variable",
    "VitasCellSpace",
    "VitasDeitArch",
    "VitasDeitSpace",
    "VitasTwinsArch",
    "VitasTwinsSpace",
    "Window",
    "Written",
    "all_spaces",
    "available",
    "default_patch_size",
    "describe_windows",
    "get",
    "is_built_in",
    "layer_pieces",
    "parse_constraints",
    "parse_windows",
    "read_architecture",
    "read_architectures",
    "read_yaml",
    "reference",
    "references",
    "register",
    "rounded_millions",
    "space_of",
    "space_of_folder",
    "write_yaml",
]

PLUGINS.open()
