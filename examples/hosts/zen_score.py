"""ZenNAS' compute_nas_score on tvtfast, beside a loop over the same formula with other draws."""

import copy
import time

import torch
from torch import nn

import tvtfast
from tvtfast.adapters import zen

space = tvtfast.spaces.get("autoformer-tiny")
model = tvtfast.build(space.sample(1, seed=0)[0], space=space, num_classes=10, img_size=32)


def host_compute_nas_score(gpu, model, mixup_gamma, resolution, batch_size, repeat):
    net, scales, scores = copy.deepcopy(model).eval(), [], []
    for layer in net.modules():
        if isinstance(layer, nn.LayerNorm):  # where ZenNAS has batch norms
            layer.register_forward_pre_hook(lambda _, x: scales.append(x[0].var(-1).mean().log()))
    for _ in range(repeat):
        for layer in net.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        scales.clear()
        images, steps = torch.randn(2, batch_size, 3, resolution, resolution)
        with torch.no_grad():
            before = net.forward_intermediates(images, intermediates_only=True)[-1]
            scale, images = sum(scales) / 2, images + mixup_gamma * steps
            after = net.forward_intermediates(images, intermediates_only=True)[-1]
        scores.append(((after - before).flatten(1).norm(dim=1).mean().log() + scale).item())
    return {"avg_nas_score": sum(scores) / repeat, "nas_score_list": scores}


for who, compute in {"host": host_compute_nas_score, "tvtfast": zen.compute_nas_score}.items():
    started = time.perf_counter()
    info = compute(None, model, mixup_gamma=1e-2, resolution=32, batch_size=16, repeat=2)
    print(who, info["avg_nas_score"], f"{time.perf_counter() - started:.2f} s")
