"""Many candidates of one space in one computation: shared weights, prefix tree, memory plan."""

from tvtfast.common.memory import is_out_of_memory
from tvtfast.population.bank import WeightBank
from tvtfast.population.layers import Layer, register_layer
from tvtfast.population.population import BlockFeatures, Population, PopulationFeatures

__all__ = [
    "BlockFeatures",
    "Layer",
    "Population",
    "PopulationFeatures",
    "WeightBank",
    "is_out_of_memory",
    "register_layer",
]
