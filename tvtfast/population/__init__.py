"""Many candidates of one space in one computation: shared weights, prefix tree, memory plan."""

from tvtfast.common.memory import is_out_of_memory
from tvtfast.population.bank import WeightBank, can_inherit, check_inherits
from tvtfast.population.layers import Layer, register_layer
from tvtfast.population.population import BlockFeatures, Population, PopulationFeatures

__all__ = [
    "BlockFeatures",
    "Layer",
    "Population",
    "PopulationFeatures",
    "WeightBank",
    "can_inherit",
    "check_inherits",
    "is_out_of_memory",
    "register_layer",
]
