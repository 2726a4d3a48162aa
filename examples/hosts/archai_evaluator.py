"""An evaluator of archai that scores its queue in one call, beside one that scores what is sent."""

import sys
import time
import types

import torch

import tvtfast

HOST = "archai.discrete_search.api"  # archai pins old packages, so its two classes are stood in for
for name in ("archai", "archai.discrete_search", HOST, f"{HOST}.archai_model"):
    sys.modules[name] = types.ModuleType(name)
sys.modules[f"{HOST}.archai_model"].ArchaiModel = types.SimpleNamespace
sys.modules[f"{HOST}.model_evaluator"] = types.ModuleType(f"{HOST}.model_evaluator")
sys.modules[f"{HOST}.model_evaluator"].AsyncModelEvaluator = type("AsyncModelEvaluator", (), {})
sys.modules["archai"].__spec__ = types.SimpleNamespace(name="archai")

from tvtfast.adapters.archai import ProxyEvaluator  # noqa: E402

space = tvtfast.spaces.get("autoformer-tiny")
archs, options = space.sample(40, seed=0), {"num_classes": 10, "img_size": 32}


def host_weight_norm(arch):
    net = tvtfast.build(arch, space=space, **options)
    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))]
    return sum(layer.weight.norm() for layer in layers).item()


started = time.perf_counter()
found = [host_weight_norm(arch) for arch in archs[:3]]
print("host", found, f"{(time.perf_counter() - started) / 3:.4f} s each")
evaluator = ProxyEvaluator("weight_norm", space=space, model_options=options)
started = time.perf_counter()
for arch in archs:
    evaluator.send(types.SimpleNamespace(arch=arch, archid=space.encode(arch)))
found = evaluator.fetch_all()
print("tvtfast", found[:3], f"{(time.perf_counter() - started) / 40:.4f} s each")
