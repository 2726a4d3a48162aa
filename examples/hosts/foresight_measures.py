"""foresight's find_measures on tvtfast, beside a stand-in of the host: a copy and a loop each."""

import copy
import time

import torch
from torch import nn

import tvtfast
from tvtfast.adapters import foresight

space = tvtfast.spaces.get("autoformer-tiny")
net = tvtfast.build(space.sample(1, seed=0)[0], space=space, num_classes=10, img_size=64)
generator = torch.Generator().manual_seed(0)
loader = [(torch.randn(8, 3, 64, 64, generator=generator), torch.arange(8))]


def host_find_measures(net_orig, dataloader, dataload_info, device, loss_fn, measure_names):
    images, labels = next(iter(dataloader))
    values = {}
    for name in measure_names:
        net = copy.deepcopy(net_orig)
        loss_fn(net(images), labels).backward()
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        pairs = [(layer.weight, layer.weight.grad) for layer in layers]
        of = {"grad_norm": lambda w, g: g.norm(), "snip": lambda w, g: (w * g).abs().sum()}[name]
        values[name] = sum(of(*pair) for pair in pairs).item()
    return values


names = ["grad_norm", "snip"]
for who, find_measures in {"host": host_find_measures, "tvtfast": foresight.find_measures}.items():
    started = time.perf_counter()
    found = find_measures(
        net, loader, ("random", 1, 10), torch.device("cpu"), nn.functional.cross_entropy, names
    )
    print(who, found, f"{time.perf_counter() - started:.2f} s")
