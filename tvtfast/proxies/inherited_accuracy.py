"""Accuracy with the weights of a trained superformer, named with its folder.

The superformer is no affair of proxies, so `tvtfast.supernet` is imported when the first one is
asked for.
"""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, register
from tvtfast.proxies.factory import ProxyFactory

INHERITED_ACCURACY: ProxyFactory[Proxy] = ProxyFactory(
    "inherited_accuracy",
    "tvtfast.supernet.inherited:proxy_of_folder",
    argument="the folder of a superformer",
    placeholder="FOLDER",
    description="top-1 accuracy in percent with weights of a superformer; ViTAS",
)

register(INHERITED_ACCURACY)
