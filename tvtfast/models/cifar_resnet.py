"""ResNets for 32x32 images: the ConvNet teachers of TVT."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.initialization import Constant, Normal, ParameterInit

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
SHORTCUTS = ("pad", "projection")
STAGE_WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut.

    Where the shape changes, the shortcut subsamples and pads channels with zeros (``"pad"``, option
    A) or is a 1x1 convolution with batch norm (``"projection"``, option B).
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_dim)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_dim)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_dim != out_dim:
            if shortcut == "pad":
                self.shortcut = PadShortcut(out_dim - in_dim, stride)
            else:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim)
                )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class PadShortcut(nn.Module):
    """Keep every ``stride``-th pixel and add ``channels`` zero channels, half on either side."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.before, self.after = channels // 2, channels - channels // 2
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after))


class CifarResNet(nn.Module):
    """ResNet of ``6n + 2`` layers on small images: three stages of 16, 32 and 64 channels.

    ``[B, 3, H, W] -> [B, num_classes]``; at 32x32 the stages are 32, 16 and 8 pixels wide.
    Source: He et al., CVPR 2016, section 4.2.

    Args:
        depth: 8, 14, 20, 32, 44, 56 or 110.
        num_classes: Width of the classifier.
        shortcut: ``"projection"`` (the teachers of TVT) or ``"pad"`` (He et al.'s CIFAR models).
    """

    def __init__(self, depth: int, num_classes: int, shortcut: str = "projection") -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise ValueError(f"depth is {depth}; allowed: {', '.join(map(str, DEPTHS))}")
        if shortcut not in SHORTCUTS:
            raise ValueError(f"shortcut is {shortcut!r}; allowed: {', '.join(SHORTCUTS)}")
        self.depth, self.num_classes, self.shortcut = depth, num_classes, shortcut
        self.in_chans = 3
        self.num_features = self.head_hidden_size = STAGE_WIDTHS[-1]
        self.conv1 = nn.Conv2d(3, STAGE_WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_WIDTHS[0])
        in_dim = STAGE_WIDTHS[0]
        for stage, dim in enumerate(STAGE_WIDTHS, start=1):
            blocks = []
            for block in range((depth - 2) // 6):
                blocks.append(
                    BasicBlock(in_dim, dim, 2 if stage > 1 and not block else 1, shortcut)
                )
                in_dim = dim
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(in_dim, num_classes)

    def parameter_init(self, name: str, owner: nn.Module) -> ParameterInit | None:
        """Convolutions ``N(0, 2 / fan_out)``, classifier ``N(0, 0.01^2)`` with bias 0."""
        if isinstance(owner, nn.Conv2d):
            fan_out = owner.out_channels * owner.kernel_size[0] * owner.kernel_size[1]
            return ParameterInit(Normal(math.sqrt(2 / fan_out)))
        if isinstance(owner, nn.Linear):
            return ParameterInit(Constant(0.0) if name.endswith("bias") else Normal(0.01))
        return None

    def stages(self, images: Tensor) -> list[Tensor]:
        """Outputs of the three stages, ``[B, 16, H, W]`` to ``[B, 64, H/4, W/4]``."""
        x = F.relu(self.bn1(self.conv1(images)))
        outputs = []
        for stage in range(1, len(STAGE_WIDTHS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            outputs.append(x)
        return outputs

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """timm's feature interface over the three stages (``NCHW``)."""
        outputs = self.stages(images)
        if isinstance(indices, int):
            chosen = outputs[-indices:]
        else:
            chosen = outputs if indices is None else [outputs[index] for index in indices]
        return chosen if intermediates_only else (outputs[-1], chosen)

    def forward_features(self, images: Tensor) -> Tensor:
        """Output of the last stage, ``[B, 64, H/4, W/4]``."""
        return self.stages(images)[-1]

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits from the output of the last stage, or what the classifier reads, ``[B, 64]``."""
        pooled = features.mean(dim=(2, 3))
        if pre_logits:
            return pooled
        logits: Tensor = self.linear(pooled)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


def untrained_for(state: Mapping[str, Tensor]) -> CifarResNet | None:
    """The CIFAR ResNet that these weights are made for, without them; ``None`` when they are
    another model's.

    Depth, number of classes and kind of shortcut are read from names (as `canonical` spells them)
    and shapes. The random state of the process stays as it is.
    """
    blocks = {
        match.group(1) for name in state if (match := re.match(r"layer1\.(\d+)\.conv2\.", name))
    }
    depth = 6 * len(blocks) + 2
    stem, classifier = state.get("conv1.weight"), state.get("linear.weight")
    if depth not in DEPTHS or stem is None or classifier is None:
        return None
    if stem.shape[:1] != (STAGE_WIDTHS[0],) or classifier.shape[1:] != (STAGE_WIDTHS[-1],):
        return None
    projects = any(".shortcut." in name for name in state)
    with torch.random.fork_rng(devices=[]):
        return CifarResNet(depth, classifier.shape[0], "projection" if projects else "pad")


def canonical(name: str) -> str:
    """The name of a weight as `CifarResNet` has it: others call the classifier ``fc`` and the
    shortcut ``downsample``."""
    return re.sub(r"^fc\.", "linear.", name).replace(".downsample.", ".shortcut.")
