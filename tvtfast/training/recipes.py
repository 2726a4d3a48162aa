"""Recipes by name, as they were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tvtfast.common.names import unknown
from tvtfast.training.recipe import STUDENT_RECIPE, Recipe

SUPERFORMER_RECIPE = Recipe(
    batch_size=1024,
    lr=1e-3,
    min_lr=0.0,
    warmup_share=5 / 300,
    label_smoothing=0.1,
    augmentation="weak",
    cutmix=1.0,
)
"""AdamW, 1e-3 to 0, 5 of 300 epochs of warm-up, weight decay 0.05, label smoothing 0.1, and weak
augmentation; with CutMix and without stochastic depth. Batches of 1024 are those of all processes
together in the released code, and those of one process here.
Source: the released code of ViTAS."""

DEIT_RECIPE = Recipe(
    batch_size=1024,
    lr=1e-3,
    min_lr=1e-5,
    warmup_share=5 / 300,
    label_smoothing=0.1,
    drop_path=0.1,
    mixup=0.8,
    cutmix=1.0,
    repeats=3,
)
"""AdamW, 1e-3 (5e-4 per 512 images of a batch of 1024) to 1e-5, 5 of 300 epochs of warm-up, weight
decay 0.05, label smoothing 0.1, stochastic depth 0.1, mixup 0.8, CutMix 1.0, RandAugment of
magnitude 9, random erasing 0.25, repeated augmentation 3.
Source: Touvron et al., "DeiT", ICML 2021, table 9, and its released code."""

AS_VIT_RECIPE = replace(DEIT_RECIPE, min_lr=0.0, repeats=1)
"""AdamW, batches of 1024, 1e-3 along a cosine, weight decay 0.05.
Source: Chen et al., "As-ViT", ICLR 2022, reproducibility statement. That leaves open the epochs,
warm-up and augmentation, which here are DeiT's without repeated augmentation."""

VITAS_RETRAIN_RECIPE = replace(SUPERFORMER_RECIPE, augmentation="strong", cutmix=0.0, drop_path=0.1)
"""`SUPERFORMER_RECIPE` with RandAugment and stochastic depth 0.1, without mixup and CutMix.
Source: the released code of ViTAS (retraining)."""

TINY_TRANSFORMERS_RECIPE = replace(STUDENT_RECIPE, drop_path=0.1)
"""`tvtfast.training.recipe.STUDENT_RECIPE` with its stochastic depth 0.1.
Source: Li et al., ECCV 2022, as used by TVT."""

CIFAR_FAST_RECIPE = Recipe(
    epochs=30, lr=1e-3, min_lr=1e-5, label_smoothing=0.1, augmentation="weak"
)
"""A tenth of the published epochs, for a first look. No paper's: these are values of this library,
and what they reach was not compared."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "deit": DEIT_RECIPE,
        "as-vit": AS_VIT_RECIPE,
        "vitas-superformer": SUPERFORMER_RECIPE,
        "vitas-retrain": VITAS_RETRAIN_RECIPE,
        "tiny-transformers": TINY_TRANSFORMERS_RECIPE,
        "cifar-fast": CIFAR_FAST_RECIPE,
    }
)
"""Every named recipe."""


def recipe_of(name: str) -> Recipe:
    """The recipe of a name in `RECIPES`.

    Raises:
        ValueError: There is none; the message names them.
    """
    if name not in RECIPES:
        raise ValueError(unknown("recipe", name, RECIPES))
    return RECIPES[name]
