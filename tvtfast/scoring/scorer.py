"""Score candidates with proxies: one frozen batch, one teacher forward, one status per cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tvtfast.common import checks
from tvtfast.common.fallbacks import Fallback, logger
from tvtfast.common.progress import track
from tvtfast.models import SpatialFeatures
from tvtfast.scoring.additive import additive_values
from tvtfast.scoring.context import ScoringContext
from tvtfast.scoring.derived import check_derived
from tvtfast.scoring.distribution import Distribution
from tvtfast.scoring.evaluator import Evaluator
from tvtfast.scoring.executors import Executor, chosen
from tvtfast.scoring.glance import Glance, glance
from tvtfast.scoring.identity import around_candidate
from tvtfast.scoring.inheriting import check_heirs
from tvtfast.scoring.inputs import CandidateInputs
from tvtfast.scoring.ledger import Ledger
from tvtfast.scoring.race import RaceSummary
from tvtfast.scoring.race_population import obstacle, race_ledger
from tvtfast.scoring.ranking import Method
from tvtfast.scoring.reference import reference_sample, reference_table
from tvtfast.scoring.settings import Scoring
from tvtfast.scoring.setup import set_up
from tvtfast.scoring.store import ScoreStore
from tvtfast.scoring.table import ScoreTable
from tvtfast.scoring.tabulate import tabulate
from tvtfast.scoring.turns import turn
from tvtfast.spaces import Step


def score(
    candidates: Iterable[Any],
    scoring: Scoring | None = None,
    *,
    relative_to: ScoreTable | int | None = None,
    **settings: Any,
) -> ScoreTable:
    """Score untrained candidates.

    Architectures whose space states its layers are computed together: one bank of weights, common
    beginnings once, no module built (`tvtfast.population.Population`); all other candidates, and
    proxies that are neither means over images nor sums over layers, one by one.

    All candidates see one frozen batch; the teacher runs once; student and teacher are in
    evaluation mode; the weights of architectures are drawn by index (`tvtfast.initialize_`), or
    slices of trained ones (``weights``).
    Modules are scored with the weights they have and left as they were.

    Args:
        candidates: Architectures of ``space`` (objects, published dictionaries or JSON strings),
            modules, names of models of timm (``vit_tiny_patch16_224``), or all of these.
            Architectures that a search of the space would not propose are scored too, with a note
            (`ScoreTable.notes`). Modules need timm's ``forward_intermediates``, or ``feature_fn``.
            Models of timm are built for the size of the images, with the weights that timm draws
            from the seed.
        scoring: Settings; default the defaults of `Scoring`.
        relative_to: What combined scores such as ``tvt`` are scaled by, so that values of different
            calls compare: a table of earlier scores, or a number of architectures that are drawn
            from the space with the seed and scored first. Default the candidates themselves; one
            candidate alone, or several with equal scores, then have no combined score: status
            ``unsupported``, with the reason.
        **settings: Fields of `Scoring` on top, such as ``space``, ``proxies``, ``teacher``,
            ``images``, and model options, such as ``num_classes``.

    Raises:
        ValueError: Empty population, unknown name, an architecture that no model is built of,
            missing teacher or images, NaN in the images or in the teacher's features.
        UnsupportedModelError: The teacher has no spatial features.
        ScoringError: With ``on_error="raise"``.
        FallbackError: A fast path cannot be taken, and ``TVTFAST_STRICT=1`` is set. Otherwise a
            warning says why and what it costs, and `ScoreTable.fallbacks` keeps it. Too little
            memory, and a model that is not supported, are the only reasons; a bug is raised.

    Determinism: on one device, equal arguments give equal scores, whatever the order of candidates.
    """
    with Scorer(scoring, relative_to=relative_to, **settings) as scorer:
        return scorer(candidates)


class Scorer:
    """`score` with everything but the candidates fixed; call it once per population or generation.

    The arguments, errors and guarantees are those of `score`. Images, teacher and store are
    resolved once, when it is made, and the architectures that ``relative_to`` asks for are scored
    once, in the first call.

    Several threads may use one scorer, or one each: they take turns at computing, since that uses
    all cores anyway. A scorer can be pickled (as far as the caller's own functions can) and copied:
    copies score the same, and use the same file where ``store`` is one.

    Workers of an ``executor`` begin with the first population, and live until the scorer, a context
    manager, is closed.

    Attributes:
        setup: What the settings stand for.
        evaluated: Candidates that were computed up to now; the others were in the store.
        fallbacks: Fast paths that were left up to now.
    """

    def __init__(
        self,
        scoring: Scoring | None = None,
        *,
        relative_to: ScoreTable | int | None = None,
        **settings: Any,
    ) -> None:
        given = Scoring.of(scoring, **settings)
        with turn():
            self.setup = setup = set_up(given)
        check_derived(setup)
        self._reference = reference_table(relative_to, setup)
        self._sample = reference_sample(relative_to, setup)
        self.evaluated = 0
        self.fallbacks: list[Fallback] = []
        self._ledger_now: Ledger | None = None
        self._progress = given.progress
        self._evaluator = Evaluator.of(setup, given.memory, given.on_error)
        self._distribution, self._own_workers = None, not isinstance(given.executor, Executor)
        if given.executor is not None:
            executor = chosen(given.executor)
            context = ScoringContext.of(setup, given.memory, given.on_error, executor.workers)
            self._distribution = Distribution(executor, context, self._evaluator)

    def glance(self) -> Glance | None:
        """The population that is scored at this moment, as far as it is scored; ``None`` where none
        was begun. It may be asked from another thread."""
        return None if self._ledger_now is None else glance(self._ledger_now, self.setup)

    @property
    def executor(self) -> Executor | None:
        """Whose workers score; ``None`` where this process does."""
        return None if self._distribution is None else self._distribution.executor

    def keep_in(self, store: ScoreStore) -> None:
        """Keep scores in this store from now on."""
        self.setup = replace(self.setup, store=store)

    def close(self) -> None:
        """End the workers that ``executor`` asked for; they begin anew when there is work."""
        if self._distribution is not None and self._own_workers:
            self._distribution.executor.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, candidates: Iterable[Any]) -> ScoreTable:
        """Score a population, see `score`."""
        with turn(), self._seen():
            reference = self._scored_reference()
            return self._table(self._scored(candidates), reference=reference)

    def race_obstacle(self, method: Method = "minmax_sum") -> str | None:
        """Why `race` is not possible; ``None`` where it is."""
        if self._reference is not None or self._sample:
            return "scores are relative to other candidates, and a race is one among its own"
        return obstacle(self.setup, method)

    def race(
        self, candidates: Iterable[Any], method: Method = "minmax_sum", top_k: int = 10
    ) -> ScoreTable:
        """Score a population on few images, and on more only those that may still be among the
        best: see `tvtfast.scoring.race`.

        The ``top_k`` best are complete and score what `score` gives. Candidates that went out have
        status ``partial`` and an estimate for a value. Scores of single images are kept in the
        store, so that a race that was stopped goes on where it was. Where candidates cannot be
        scored together after all, for want of memory, the whole population is scored as ever, and
        the table has a note of that (`ScoreTable.fallbacks`).

        Args:
            candidates: Architectures of the space.
            method: How the proxies are combined.
            top_k: The best to find.

        Raises:
            ValueError: A race is not possible, or ``top_k`` below 1.
        """
        reason = self.race_obstacle(method)
        if reason is not None:
            raise ValueError(f"a race is not possible: {reason}; score all candidates instead")
        top_k = checks.whole("top_k", top_k, least=1)
        summary = None
        with turn(), self._seen():
            ledger = self._ledger(candidates)
            if ledger.unfinished:
                summary, computed = race_ledger(
                    self.setup,
                    self._evaluator,
                    ledger,
                    top_k,
                    (self._distribution or self._evaluator).joint,
                    progress=self._progress,
                )
                self.evaluated += computed
            self._score_all(ledger)
            return self._table(ledger, race=summary)

    def features(self, candidate: Any) -> SpatialFeatures:
        """Last-block features of one candidate for the frozen batch, with the first seed."""
        setup = self.setup
        inputs = CandidateInputs(
            setup.candidates([candidate])[0],
            setup.seeds[0],
            setup.view,
            setup.conditions,
            setup.weights,
        )
        with turn():
            return inputs.features

    @property
    def teacher_features(self) -> SpatialFeatures | None:
        """Last-stage features of the teacher for the frozen batch."""
        return None if self.setup.view.teacher is None else self.setup.view.teacher.features

    def step_values(self, steps: Sequence[Step]) -> list[float]:
        """Summands of the score for some steps, see `tvtfast.scoring.additive.additive_values`."""
        return additive_values(self.setup, steps)

    @contextmanager
    def _seen(self) -> Iterator[None]:
        """`glance` sees the population of the block, and no candidate outlives it on that
        account."""
        try:
            yield
        finally:
            self._ledger_now = None

    def _scored_reference(self) -> ScoreTable | None:
        """What scores are relative to; a sample is scored when it is first needed."""
        if self._reference is None and self._sample:
            self._reference = self._table(self._scored(self._sample))
        return self._reference

    def _scored(self, candidates: Iterable[Any]) -> Ledger:
        ledger = self._ledger(candidates)
        self.evaluated += ledger.unfinished
        self._score_all(ledger)
        return ledger

    def _ledger(self, candidates: Iterable[Any]) -> Ledger:
        setup = self.setup
        population = setup.candidates(candidates)
        if setup.weights is not None:
            check_heirs(population, setup.weights)
        around = partial(around_candidate, setup)
        ledger = Ledger(
            population, setup.single, setup.seeds_of, around, setup.store, setup.deferred
        )
        self._ledger_now = ledger
        return ledger

    def _score_all(self, ledger: Ledger) -> None:
        total = len(ledger.population)
        with track(
            "scoring",
            total=total,
            unit="candidate",
            initial=total - ledger.unfinished,
            show=self._progress and ledger.unfinished > 0,
        ) as bar:
            ledger.on_done = bar.update
            self._compute(ledger)

    def _compute(self, ledger: Ledger) -> None:
        if self._distribution is None:
            self._evaluator.fill(ledger, self.setup.single)
        else:
            self._distribution.fill(ledger)
        self.fallbacks += ledger.fallbacks

    def _table(
        self,
        ledger: Ledger,
        *,
        race: RaceSummary | None = None,
        reference: ScoreTable | None = None,
    ) -> ScoreTable:
        table = tabulate(ledger, self.setup, self._evaluator.count, race, reference)
        for note in table.notes:
            logger.warning(note)
        return table
