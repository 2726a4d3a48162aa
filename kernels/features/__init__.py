"""Features of images, ``[B, H, W, C]``: what operators that map them share.

Tokens and features of either layout become such views: the layout lives in the strides.
"""
