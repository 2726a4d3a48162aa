"""tvtfast inside code bases that people already have: one file per host.

A host is imported only inside the functions of its own file, so that no file needs another's host.
Import the file itself: ``from tvtfast.adapters import autoformer``. Adapters are made of public
names of tvtfast, as anybody's own would be; nothing of tvtfast imports them.
"""
