"""Accuracy with the weights of a trained superformer, named with its folder.

The superformer is no affair of proxies, so `tvtfast.supernet` is imported when the first one is
asked for.
"""

from __future__ import annotations

from tvtfast.proxies.base import Proxy, register
from tvtfast.proxies.factory import ProxyFactory

TRAINED_STEPS = "trained_steps"
HARDLY_TRAINED = "hardly_trained"

INHERITED_ACCURACY: ProxyFactory[Proxy] = ProxyFactory(
    "inherited_accuracy",
    "tvtfast.supernet.inherited:proxy_of_folder",
    argument="the folder of a superformer",
    placeholder="FOLDER",
    beside=(TRAINED_STEPS, HARDLY_TRAINED),
    description="top-1 accuracy in percent with weights of a superformer; ViTAS",
)

register(INHERITED_ACCURACY)
