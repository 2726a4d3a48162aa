"""The superformer of ViTAS: train all candidates of a space at once, compare and extract them."""

from tvtfast.supernet.bank import superformer_weights
from tvtfast.supernet.coverage import HARDLY, Coverage
from tvtfast.supernet.evaluation_images import EvaluationImages
from tvtfast.supernet.extraction import cut_out, extract
from tvtfast.supernet.folder import (
    SuperformerCard,
    TrainedSuperformer,
    load_superformer,
    save_superformer,
)
from tvtfast.supernet.held_out import held_out_images
from tvtfast.supernet.inherited import InheritedAccuracy
from tvtfast.supernet.intervals import SHARING, Interval, intervals, usage
from tvtfast.supernet.sampling import (
    LEAST_SHARE,
    WINDOW_OF,
    Subnets,
    fit_identity_probability,
    subnets_of,
)
from tvtfast.supernet.superformer import Superformer
from tvtfast.supernet.training import FinishedTraining, train_superformer
from tvtfast.training.recipes import SUPERFORMER_RECIPE

__all__ = [
    "HARDLY",
    "LEAST_SHARE",
    "SHARING",
    "SUPERFORMER_RECIPE",
    "WINDOW_OF",
    "Coverage",
    "EvaluationImages",
    "FinishedTraining",
    "InheritedAccuracy",
    "Interval",
    "Subnets",
    "Superformer",
    "SuperformerCard",
    "TrainedSuperformer",
    "cut_out",
    "extract",
    "fit_identity_probability",
    "held_out_images",
    "intervals",
    "load_superformer",
    "save_superformer",
    "subnets_of",
    "superformer_weights",
    "train_superformer",
    "usage",
]
