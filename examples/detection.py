"""Put an As-ViT backbone under a detector, and train it on a data set in COCO's format.

The data set is made here: discs and squares on noise. For yours, point ``read_coco`` at its
annotation file and folder of images.
"""

import json
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

SIDE, CHANNELS = 96, 32


def write_coco(folder: Path, images: int, seed: int = 0) -> Path:
    """Images with one to three objects, and their annotations as COCO writes them."""
    rng = np.random.default_rng(seed)
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}]
    for number in range(images):
        image = Image.fromarray(rng.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8))
        draw = ImageDraw.Draw(image)
        for _ in range(rng.integers(1, 4)):
            side, category = int(rng.integers(20, 48)), int(rng.integers(1, 3))
            x, y = rng.integers(SIDE - side, size=2).tolist()
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
        content["images"].append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
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
    """The four stages of an As-ViT as a feature pyramid."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.stages = timm.create_model(
            "tvtfast_student", space="asvit", arch=arch, img_size=SIDE, features_only=True
        )
        self.pyramid = FeaturePyramidNetwork(self.stages.feature_info.channels(), CHANNELS)
        self.out_channels = CHANNELS

    def forward(self, images: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        maps = self.stages(images)
        return self.pyramid(OrderedDict((str(level), x) for level, x in enumerate(maps)))


torch.manual_seed(0)
with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    data = read_coco(write_coco(folder, images=12), folder)

backbone = Backbone("8,2,3|4,1,2|4,1,4|4,1,6|32")
reductions = backbone.stages.feature_info.reduction()
detector = RetinaNet(
    backbone,
    num_classes=3,  # background and the two categories
    anchor_generator=AnchorGenerator(
        tuple((4 * stride,) for stride in reductions), ((0.5, 1.0, 2.0),) * len(reductions)
    ),
    min_size=SIDE,
    max_size=SIDE,
)
optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-4)
means = []
for epoch in range(10):
    losses = []
    for first in range(0, len(data), 4):
        images, targets = zip(*data[first : first + 4], strict=True)
        loss = sum(detector(list(images), list(targets)).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    means.append(sum(losses) / len(losses))
    print(f"epoch {epoch + 1}: loss {means[-1]:.3f}")
if means[-1] >= means[0]:
    raise SystemExit("the loss did not fall")
