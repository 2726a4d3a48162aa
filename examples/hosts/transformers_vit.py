"""Entropy of the attention of a Hugging Face ViT: of its own weights, and without forming them."""

import time

import torch

import tvtfast
from tvtfast.adapters import transformers

# isort: split
# beside a CPU-only torch, transformers can be imported once tvtfast.models has been
from transformers import ViTConfig, ViTModel

sizes = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3}
torch.manual_seed(0)
model = ViTModel(ViTConfig(**sizes, intermediate_size=768)).eval()
images = torch.randn(2, 3, 224, 224)
transformers.register_attention()


@torch.no_grad()
def mean_entropy(attention: str) -> tuple[float, float]:
    model.set_attn_implementation(attention)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = model(images, output_attentions=True).attentions
        eager = attention == "eager"
        rows = [torch.special.entr(x).sum(-1) if eager else x.row_entropy for x in found]
        seconds.append(time.perf_counter() - started)
    return torch.stack(rows).mean().item(), min(seconds) * 1e3


for name, attention in (("transformers", "eager"), ("tvtfast", "tvtfast")):
    value, took = mean_entropy(attention)
    print(f"{name:12} entropy {value:.6f} in {took:.0f} ms, with the forward pass")
measure = tvtfast.Measure("weight_norm", feature_fn=transformers.features)
print(f"weight norm of the same model: {measure(model, images):.4f}")
