"""What a user brings to the journeys: a folder of photos and a trained timm teacher."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

import tvtfast.models  # noqa: F401  beside a CPU-only torch, timm needs it first

# isort: split
import timm

CLASSES = {3: "three", 7: "seven", 8: "eight"}
SIDE = 32
PER_CLASS = 60


def photos(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of three digits, a folder per split and class; training pixels `[N, 32, 32]` and
    labels `[N]`."""
    digits = load_digits()
    pixels, labels = [], []
    for label, (digit, name) in enumerate(CLASSES.items()):
        for split in ("train", "test"):
            (folder / split / name).mkdir(parents=True)
        for number, image in enumerate(digits.images[digits.target == digit][:PER_CLASS]):
            picture = Image.fromarray((image * 15.9).astype(np.uint8)).resize((SIDE, SIDE))
            split = "train" if number % 5 else "test"
            picture.convert("RGB").save(folder / split / name / f"{number:03d}.png")
            if split == "train":
                pixels.append(np.asarray(picture))
                labels.append(label)
    return np.stack(pixels), np.array(labels)


def teacher(pixels: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """A small network of timm after a few steps in a loop without tvtfast."""
    torch.manual_seed(0)
    images = torch.from_numpy(pixels).float().div(255)[:, None].expand(-1, 3, -1, -1)
    images, classes = (images - 0.5) / 0.25, torch.from_numpy(labels)
    net = timm.create_model("resnet10t", num_classes=len(CLASSES)).train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(20):
        batch = torch.randint(len(images), (32,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images[batch]), classes[batch]).backward()
        optimizer.step()
    torch.save(net.state_dict(), path)


if __name__ == "__main__":
    home = Path(sys.argv[1])
    teacher(*photos(home / "photos"), home / "teacher.pth")
