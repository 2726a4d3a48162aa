"""AutoFormer's candidates on the weights of its supernet: subnets one by one, and all at once."""

import time

import torch

import tvtfast
from tvtfast import models
from tvtfast.adapters import autoformer

space = tvtfast.spaces.get("autoformer-original-tiny")
subnet = tvtfast.build(space.sample(1, 0)[0], space=space, norm_eps=1e-5)
supernet = models.rename_weights(subnet, "autoformer", space=space)  # or a released checkpoint
scorer = tvtfast.Scorer(space=space, weights=supernet, proxies="weight_norm")
candidates = [autoformer.to_candidate(arch) for arch in space.sample(40, 0)]


def norms_of_slices(candidate: tuple) -> float:  # of what set_sample_config() takes
    depth, dim = candidate[0], candidate[-1]
    stem, head = supernet["patch_embed_super.proj.weight"], supernet["head.weight"]
    parts = [stem[:dim], head[:, :dim]]
    for block in range(depth):
        inner, hidden = 64 * candidate[1 + depth + block], int(dim * candidate[1 + block])
        names = "attn.qkv", "attn.proj", "fc1", "fc2"
        qkv, proj, fc1, fc2 = (supernet[f"blocks.{block}.{name}.weight"] for name in names)
        parts += [qkv[: 3 * inner, :dim], proj[:dim, :inner]]
        parts += [fc1[:hidden, :dim], fc2[:dim, :hidden]]
    return sum(part.double().norm().item() for part in parts)


started = time.perf_counter()
host = [norms_of_slices(candidate) for candidate in candidates]
print(f"slices  {host[0]:.4f} {host[1]:.4f} ... in {time.perf_counter() - started:.3f} s")
started = time.perf_counter()
ours = scorer([autoformer.to_arch(candidate) for candidate in candidates])["weight_norm"]
print(f"tvtfast {ours[0]:.4f} {ours[1]:.4f} ... in {time.perf_counter() - started:.3f} s")
torch.testing.assert_close(torch.tensor(ours), torch.tensor(host).double(), rtol=1e-6, atol=0)
