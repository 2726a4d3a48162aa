"""Many candidates of one space in one computation: shared weights, prefix tree, memory plan."""

from tvtfast.population.bank import WeightBank
from tvtfast.population.memory import is_out_of_memory
from tvtfast.population.population import Population, PopulationFeatures

__all__ = ["Population", "PopulationFeatures", "WeightBank", "is_out_of_memory"]
