"""Triton code that operators share; importing a file of this folder may import triton."""
