"""Training-free search of Vision Transformers with a ConvNet teacher.

Importing this package loads no torch, touches no driver, starts no compiler and opens no
connection; names are loaded on first use.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvtfast import (
        data,
        distill,
        kernels,
        models,
        pipeline,
        population,
        proxies,
        report,
        spaces,
        strategies,
        supernet,
        training,
    )
    from tvtfast.common.fallbacks import FallbackError, FallbackWarning
    from tvtfast.common.plugins import PluginError, PluginWarning
    from tvtfast.common.run_folder import RunError
    from tvtfast.growing import grow
    from tvtfast.initialization import initialize_
    from tvtfast.models import ChoiceSpace, InheritedWeights, Teacher, build, load_teacher
    from tvtfast.pipeline import run, tournament
    from tvtfast.scoring import (
        Calibration,
        Judgement,
        Measure,
        Scorer,
        ScoreStore,
        ScoreTable,
        Scoring,
        ScoringError,
        SizeRanksBetterWarning,
        StoreError,
        Truth,
        calibrate,
        correlate,
        judgement,
        load_truth,
        rank,
        score,
    )
    from tvtfast.searching import SearchResult, search
    from tvtfast.spaces import InfeasibleError
    from tvtfast.students import collect_truth, convert, evaluate, export, predict

__all__ = [
    "Calibration",
    "ChoiceSpace",
    "FallbackError",
    "FallbackWarning",
    "InfeasibleError",
    "InheritedWeights",
    "Judgement",
    "Measure",
    "PluginError",
    "PluginWarning",
    "RunError",
    "ScoreStore",
    "ScoreTable",
    "Scorer",
    "Scoring",
    "ScoringError",
    "SearchResult",
    "SizeRanksBetterWarning",
    "StoreError",
    "Teacher",
    "Truth",
    "__version__",
    "build",
    "calibrate",
    "collect_truth",
    "convert",
    "correlate",
    "data",
    "distill",
    "evaluate",
    "export",
    "grow",
    "initialize_",
    "judgement",
    "kernels",
    "load_teacher",
    "load_truth",
    "models",
    "pipeline",
    "population",
    "predict",
    "proxies",
    "rank",
    "report",
    "run",
    "score",
    "search",
    "spaces",
    "strategies",
    "supernet",
    "tournament",
    "training",
]

if os.path.isfile(os.path.join(os.path.dirname(__path__[0]), "csrc", "bindings.cpp")):
    # Python started in a source checkout finds this folder before the installed package, which
    # holds the compiled extensions; nothing plainer than a second folder on the path finds them.
    __path__ = [*pkgutil.extend_path(__path__, __name__)]

_HOMES = {
    "Calibration": "scoring",
    "ChoiceSpace": "models",
    "FallbackError": "common.fallbacks",
    "FallbackWarning": "common.fallbacks",
    "InfeasibleError": "spaces",
    "InheritedWeights": "models",
    "Judgement": "scoring",
    "Measure": "scoring",
    "PluginError": "common.plugins",
    "PluginWarning": "common.plugins",
    "RunError": "common.run_folder",
    "ScoreStore": "scoring",
    "ScoreTable": "scoring",
    "Scorer": "scoring",
    "Scoring": "scoring",
    "ScoringError": "scoring",
    "SearchResult": "searching",
    "SizeRanksBetterWarning": "scoring",
    "StoreError": "scoring",
    "Teacher": "models",
    "Truth": "scoring",
    "build": "models",
    "calibrate": "scoring",
    "collect_truth": "students",
    "convert": "students",
    "correlate": "scoring",
    "evaluate": "students",
    "export": "students",
    "grow": "growing",
    "initialize_": "initialization",
    "judgement": "scoring",
    "load_teacher": "models",
    "load_truth": "scoring",
    "predict": "students",
    "rank": "scoring",
    "run": "pipeline",
    "score": "scoring",
    "search": "searching",
    "tournament": "pipeline",
}
_SUBPACKAGES = (
    "data",
    "distill",
    "kernels",
    "models",
    "pipeline",
    "population",
    "proxies",
    "report",
    "spaces",
    "strategies",
    "supernet",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"tvtfast.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"tvtfast.{_HOMES[name]}"), name)
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("tvtfast")
    raise AttributeError(f"module 'tvtfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
