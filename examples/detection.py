"""Put As-ViT and Twins backbones under a detector, and train it on a data set in COCO's format.

The data set is made here: discs and squares on noise. For yours, point ``read_coco`` at its
annotation file and folder of images.
"""

import json
import math
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

import tvtfast.models  # noqa: F401  (registers tvtfast_student with timm)

# isort: split
# beside a CPU-only torch, timm and torchvision can be imported once tvtfast.models has been
import timm
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork
from torchvision.transforms.functional import to_tensor

HEIGHT, WIDTH, CHANNELS, STEPS = 96, 128, 32, 10
TWINS = {
    "embed_dim": [32, 64, 96, 128],
    "depth": [2, 2, 2, 2],
    "attention": ["local", "global"] * 4,
    "num_heads": [1, 1, 2, 2, 3, 3, 4, 4],
    "qkv_dim": [96, 96, 192, 192, 288, 288, 384, 384],
    "mlp_dim": [64, 64, 128, 128, 192, 192, 256, 256],
}
"""Smaller than what the space searches."""
BACKBONES = {"asvit": "8,2,3|4,1,2|4,1,4|4,1,6|32", "vitas-twins": TWINS}


def write_coco(folder: Path, images: int, seed: int = 0) -> Path:
    """Images with one to three objects, and their annotations as COCO writes them."""
    rng = np.random.default_rng(seed)
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}]
    for number in range(images):
        image = Image.fromarray(rng.integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8))
        draw = ImageDraw.Draw(image)
        for _ in range(rng.integers(1, 4)):
            side, category = int(rng.integers(20, 48)), int(rng.integers(1, 3))
            x, y = rng.integers((WIDTH - side, HEIGHT - side)).tolist()
            shape = draw.ellipse if category == 1 else draw.rectangle
            shape((x, y, x + side, y + side), fill=tuple(rng.integers(256, size=3).tolist()))
            content["annotations"].append(
                {
                    "id": len(content["annotations"]),
                    "image_id": number,
                    "category_id": category,
                    "bbox": [x, y, side, side],
                    "area": side * side,
                    "iscrowd": 0,
                }
            )
        name = f"{number:06}.png"
        image.save(folder / name)
        content["images"].append(
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        )
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def read_coco(annotations: Path, folder: Path) -> list[tuple[torch.Tensor, dict]]:
    """Images ``[3, H, W]`` and targets as torchvision's detectors take them."""
    content = json.loads(annotations.read_text())
    boxes = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        boxes[entry["image_id"]].append((x, y, x + width, y + height, entry["category_id"]))
    data = []
    for image in content["images"]:
        rows = torch.tensor(boxes[image["id"]], dtype=torch.float32).view(-1, 5)
        target = {"boxes": rows[:, :4], "labels": rows[:, 4].long()}
        data.append((to_tensor(Image.open(folder / image["file_name"]).convert("RGB")), target))
    return data


class Backbone(torch.nn.Module):
    """The four stages of a candidate as a feature pyramid."""

    def __init__(self, space: str, arch: str | dict) -> None:
        super().__init__()
        self.stages = timm.create_model(
            "tvtfast_student", space=space, arch=arch, img_size=64, features_only=True
        )
        self.pyramid = FeaturePyramidNetwork(self.stages.feature_info.channels(), CHANNELS)
        self.out_channels = CHANNELS

    def forward(self, images: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        maps = self.stages(images)
        return self.pyramid(OrderedDict((str(level), x) for level, x in enumerate(maps)))


def train(backbone: Backbone, data: list[tuple[torch.Tensor, dict]]) -> list[float]:
    """Losses of ten steps of a RetinaNet."""
    reductions = backbone.stages.feature_info.reduction()
    detector = RetinaNet(
        backbone,
        num_classes=3,  # background and the two categories
        anchor_generator=AnchorGenerator(
            tuple((4 * stride,) for stride in reductions), ((0.5, 1.0, 2.0),) * len(reductions)
        ),
        min_size=HEIGHT,
        max_size=WIDTH,
    )
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-4)
    images, targets = zip(*data, strict=True)
    losses = []
    for _ in range(STEPS):
        loss = sum(detector(list(images), list(targets)).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    data = read_coco(write_coco(folder, images=4), folder)

for space, arch in BACKBONES.items():
    losses = train(Backbone(space, arch), data)
    print(f"{space}: loss {losses[0]:.3f} at first, {losses[-1]:.3f} after {STEPS} steps")
    if not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
        raise SystemExit(f"{space}: the loss did not fall: {losses}")
