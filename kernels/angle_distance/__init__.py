"""The mean squared difference of all angles between samples, an operator of relations."""
