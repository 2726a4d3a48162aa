"""TF_TAS' dss on tvtfast, beside the formula in plain torch."""

import time

import torch

import tvtfast
from tvtfast.adapters import tf_tas

space = tvtfast.spaces.get("autoformer-tiny")
archs = space.sample(2, seed=0)
loader = [(torch.zeros(1, 3, 32, 32), torch.zeros(1))]
sizes = {"space": space, "img_size": 32, "num_classes": 10}
nets = [tvtfast.build(arch, **sizes) for arch in archs]


def host_find_indicators(net, dataloader, dataload_info, device):
    state = {name: one.detach().abs() for name, one in net.named_parameters()}
    weights = {
        f"{name}.weight": state[f"{name}.weight"].requires_grad_()
        for name, layer in net.named_modules()
        if isinstance(layer, torch.nn.Linear)
    }
    ones = torch.ones(1, 3, 32, 32)
    total = torch.func.functional_call(net.eval(), state, (ones,)).sum()
    dss = 0.0
    for name, gradient in zip(weights, torch.autograd.grad(total, weights.values()), strict=True):
        w, g = weights[name].detach(), gradient
        norms = torch.linalg.matrix_norm(torch.stack((w, g)), "nuc")
        dss += (norms.prod() if "attn" in name else (w * g).abs().sum()).item()
    return {"dss": dss}


for who, find in {"host": host_find_indicators, "tvtfast": tf_tas.find_indicators}.items():
    started = time.perf_counter()
    found = [find(net, loader, ("random", 1, 10), torch.device("cpu"))["dss"] for net in nets]
    print(who, [f"{value:.6g}" for value in found], f"{time.perf_counter() - started:.2f} s")
