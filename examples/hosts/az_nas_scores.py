"""The scores of AZ-NAS by its order of arguments, two of them beside the paper's formula."""

import time

import torch

import tvtfast
from tvtfast.adapters import az_nas

space = tvtfast.spaces.get("autoformer-tiny")
model = tvtfast.build(space.sample(1, seed=0)[0], space=space, num_classes=10, img_size=32)
loader = [(torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(8))]


def host_compute_nas_score(model, device, trainloader, resolution, batch_size):
    entropies = []
    with torch.no_grad():
        maps = model.eval().forward_intermediates(trainloader[0][0], intermediates_only=True)
    for x in maps:
        rows = x.movedim(1, -1).flatten(0, 2).double()
        eigenvalues = torch.linalg.eigvalsh(torch.cov(rows.T)).clamp_min(0)
        entropies.append(torch.special.entr(eigenvalues / eigenvalues.sum()).sum())
    growth = torch.stack(entropies).diff().min()
    return {"expressivity": sum(entropies).item(), "progressivity": growth.item()}


for who, compute in {"host": host_compute_nas_score, "tvtfast": az_nas.compute_nas_score}.items():
    started = time.perf_counter()
    info = compute(model, torch.device("cpu"), loader, resolution=32, batch_size=8)
    print(who, info, f"{time.perf_counter() - started:.2f} s")
