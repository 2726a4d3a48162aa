"""One call for many candidates of a supernet beside the loops of a host: ``python -m bench.hosts``.

The candidates are subnets of AutoFormer's supernet and have its weights, which are random and
others in every round. Ways are CPU seconds per candidate, so that other work on the machine moves
them less; they take turns, and medians of rounds are printed.

- host: code of TF_TAS, from a copy of it that ``--tf-tas`` names: its supernet, set to one
  candidate after the other. For ``dss`` that is its ``find_indicators``, which leaves the qkv
  projections out; for ``teacher_aware`` a forward pass, and the formula.
- loop: the formula in plain torch, of candidates that were cut out before the clock runs.
- tvtfast: `tvtfast.score` of all candidates with ``weights=``, cutting them out included.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tvtfast
from bench.machine import machine
from tvtfast.data import FrozenBatch
from tvtfast.models import CifarResNet, inherit, last_features
from tvtfast.spaces import AutoFormerArch

SPACE = "autoformer-original-tiny"
CLASSES = 100
LARGEST = AutoFormerArch(240, 14, (4.0,) * 14, (4,) * 14)
Ways = dict[str, Callable[[], list[float]]]


def dss_loop(nets: Sequence[nn.Module], side: int) -> list[float]:
    """TF-TAS' formula, one network after the other."""
    found = []
    for net in nets:
        state = {name: one.detach().abs() for name, one in net.named_parameters()}
        names = [f"{n}.weight" for n, layer in net.named_modules() if isinstance(layer, nn.Linear)]
        weights = [state[name].requires_grad_() for name in names]
        ones = torch.ones(1, 3, side, side)
        total = torch.func.functional_call(net, state, (ones,)).sum()
        score = 0.0
        for name, w, g in zip(names, weights, torch.autograd.grad(total, weights), strict=True):
            if "attn" in name:
                norms = [torch.linalg.matrix_norm(one, "nuc") for one in (w.detach(), g)]
                score += (norms[0] * norms[1]).item()
            else:
                score += (w.detach() * g).abs().sum().item()
        found.append(score)
    return found


def _aware(tokens: Tensor, wanted: Tensor) -> float:
    """Of tokens ``[B, 1+N, C]`` and normed maps ``[B, N]`` of the teacher."""
    return -F.mse_loss(F.normalize(tokens[:, 1:].square().mean(dim=2)), wanted).item()


@torch.no_grad()
def aware_loop(nets: Sequence[Any], images: Tensor, wanted: Tensor) -> list[float]:
    """The teacher-aware score, one network after the other; the teacher ran before."""
    return [_aware(last_features(net, images).x, wanted) for net in nets]


class Host:
    """TF_TAS' supernet and indicator."""

    def __init__(self, path: str, side: int, seed: int) -> None:
        sys.path.insert(0, path)
        model = importlib.import_module("model.autoformer_space")
        self._find = importlib.import_module("lib.training_free.compute_indicators")
        torch.manual_seed(seed)
        self.net = model.Vision_TransformerSuper(
            **{"img_size": side, "patch_size": 16, "embed_dim": 256, "depth": 14, "num_heads": 4},
            **{"mlp_ratio": 4, "qkv_bias": True, "num_classes": CLASSES, "gp": True},
            **{"relative_position": True, "change_qkv": True, "abs_pos": True},
        ).eval()

    def _set(self, arch: AutoFormerArch) -> None:
        self.net.set_sample_config(
            {
                "layer_num": arch.depth,
                "embed_dim": [arch.hidden_dim] * arch.depth,
                "mlp_ratio": list(arch.mlp_ratio),
                "num_heads": list(arch.num_heads),
            }
        )

    @torch.no_grad()
    def dss(self, archs: Sequence[AutoFormerArch], side: int) -> list[float]:
        loader = [(torch.zeros(1, 3, side, side), torch.zeros(1, dtype=torch.long))]
        found = []
        for arch in archs:
            self._set(arch)
            with torch.enable_grad():
                values = self._find.find_indicators(
                    self.net, loader, ("random", 1, 1), torch.device("cpu"), indicator_names=["dss"]
                )
            found.append(float(values["dss"]))
        return found

    @torch.no_grad()
    def aware(self, archs: Sequence[AutoFormerArch], images: Tensor, wanted: Tensor) -> list[float]:
        found: list[float] = []
        self.net.eval()
        for arch in archs:
            self._set(arch)
            last = self.net.blocks[arch.depth - 1]
            seen = last.register_forward_hook(
                lambda _, __, tokens: found.append(_aware(tokens, wanted))
            )
            self.net(images)
            seen.remove()
        return found


def compare(proxy: str, side: int, options: argparse.Namespace) -> None:
    """Print one row per way."""
    space = tvtfast.spaces.get(SPACE)
    archs = space.sample(options.candidates, seed=0)
    few = archs[: options.of_loops]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(options.images, 3, side, side, generator=generator)
    teacher = tvtfast.load_teacher(tvtfast.initialize_(CifarResNet(56, CLASSES)), input_size=32)
    batch = FrozenBatch.from_tensors(images)
    stage = teacher.features(images, normalization=batch.normalization)[-1].x
    grid = (side // 16, side // 16)
    resized = F.interpolate(stage, grid, mode="bilinear", align_corners=False)
    wanted = F.normalize(resized.square().mean(dim=1).flatten(1))
    seconds: dict[str, list[float]] = {}
    for seed in range(options.rounds):
        host = Host(options.tf_tas, side, seed) if options.tf_tas else None
        sizes: dict[str, Any] = {"img_size": side, "num_classes": CLASSES}
        bank = host.net if host else tvtfast.build(LARGEST, space=space, seed=seed, **sizes)
        nets = [inherit(arch, bank, space=space, **sizes) for arch in few]
        asked: dict[str, Any] = {"space": space, "weights": bank, "proxies": proxy, **sizes}
        if proxy != "dss":
            asked |= {"images": batch, "teacher": teacher}

        def ours(asked: dict[str, Any] = asked, **more: Any) -> list[float]:
            return list(tvtfast.score(archs, **asked, **more)[proxy])

        ways: Ways = {}
        if proxy == "dss":
            if host:
                ways["host"] = lambda host=host: host.dss(few, side)
            ways["loop"] = lambda nets=nets: dss_loop(nets, side)
        else:
            if host:
                ways["host"] = lambda host=host: host.aware(few, images, wanted)
            ways["loop"] = lambda nets=nets: aware_loop(nets, images, wanted)
            ways["tvtfast, bf16"] = lambda ours=ours: ours(dtype="bfloat16")
        ways["tvtfast"] = ours
        found = {}
        for name, way in ways.items():
            started = time.process_time()
            found[name] = way()
            spent = time.process_time() - started
            seconds.setdefault(name, []).append(spent / len(found[name]))
        np.testing.assert_allclose(found["tvtfast"][: len(few)], found["loop"], rtol=1e-4)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    first = "host" if "host" in middle else "loop"
    for name, value in middle.items():
        print(
            f"| {proxy} | {side} | {name} | {1e3 * value:.0f} | {middle[first] / value:.1f} x | "
            f"{middle['loop'] / value:.1f} x |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hosts", description=__doc__)
    parser.add_argument("--tf-tas", default="", help="folder of a copy of TF_TAS")
    parser.add_argument("--candidates", type=int, default=40)
    parser.add_argument("--of-loops", type=int, default=4, help="candidates that loops are run on")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 224])
    parser.add_argument("--proxies", nargs="+", default=["dss", "teacher_aware"])
    options = parser.parse_args()
    print(f"{machine()}, {torch.get_num_threads()} threads")
    print(f"\n{options.candidates} candidates of {SPACE}, {options.images} images, fp32\n")
    print(
        "| score | side | way | CPU ms per candidate | against the host | against the loop |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for proxy in options.proxies:
        for side in options.sides:
            compare(proxy, side, options)


if __name__ == "__main__":
    main()
