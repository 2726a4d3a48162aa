"""A predictor of NASLib that scores a list at once, beside a query per graph in plain torch."""

import sys
import time
import types

import torch
import torch.nn.functional as F

import tvtfast

for name in ("naslib", "naslib.predictors", "naslib.predictors.predictor"):  # Python 3.9 at most
    sys.modules[name] = types.ModuleType(name)
sys.modules["naslib"].__spec__ = types.SimpleNamespace()
sys.modules["naslib.predictors.predictor"].Predictor = type("Predictor", (), {})

from tvtfast.adapters.naslib import ZeroCost  # noqa: E402

space = tvtfast.spaces.get("autoformer-tiny")
archs, images = space.sample(40, seed=0), torch.linspace(-2, 2, 12288).sin().view(4, 3, 32, 32)
teacher = tvtfast.load_teacher(tvtfast.initialize_(tvtfast.models.CifarResNet(20, 10), seed=1))


def host_query(arch):
    with torch.no_grad():
        net = tvtfast.build(arch, space=space, num_classes=10, img_size=32).eval()
        student = net.forward_intermediates(images, intermediates_only=True)[-1]
        seen = [student, teacher.features(images)[-1].x]
        seen[0] = F.interpolate(seen[0], seen[1].shape[2:], mode="bilinear")
    maps = [F.normalize(x.square().mean(1).flatten(1)) for x in seen]
    return -(maps[0] - maps[1]).square().mean().item()


started = time.perf_counter()
found = [host_query(arch) for arch in archs[:3]]
print("host", found, f"{(time.perf_counter() - started) / 3:.3f} s each")
started = time.perf_counter()
found = ZeroCost("teacher_aware", teacher=teacher, images=images, space=space).query(archs)
print("tvtfast", found[:3].tolist(), f"{(time.perf_counter() - started) / 40:.3f} s each")
