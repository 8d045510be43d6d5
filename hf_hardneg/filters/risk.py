"""Keep candidates that are unlikely to be relevant, judged by several signals at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.bound_stage import BoundStage
from hf_hardneg.candidates import Candidates, Queries
from hf_hardneg.checks import fraction, whole_number
from hf_hardneg.corpus import Corpus
from hf_hardneg.cross_encoder_stage import CrossEncoderStage
from hf_hardneg.errors import ParameterError, QueryError, listing
from hf_hardneg.filters.base import Filter
from hf_hardneg.filters.risk_cost import scoring_all
from hf_hardneg.hashing import mix
from hf_hardneg.pair_scorer import BATCH_SIZE
from hf_hardneg.risk_fit import fit_risk
from hf_hardneg.risk_hidden import hidden_pairs
from hf_hardneg.risk_model import RiskModel
from hf_hardneg.risk_signals import LOGITS, signals_of, source_name
from hf_hardneg.stage_inputs import Rows
from hf_hardneg.workload import Nearest, Phase, Workload

__all__ = ["RiskFilter", "within"]

DEFAULT_MAX = 0.1
MOST_PAIRS = 200_000


class RiskFilter(BoundStage, CrossEncoderStage, Filter):
    """Keeps candidates whose estimated probability of being relevant is at most a cut.

    The probability is that of a :class:`~hf_hardneg.risk_model.RiskModel`, a logistic regression
    on the signals of :mod:`hf_hardneg.risk_signals`: the score over the positive's, score, the
    positive's score, log rank, the similarity to the positive and that over the query's, and
    the same of every other retriever of the pool, and with ``cross_encoder`` its logit and that
    less the positive's. ``hf-hardneg calibrate`` fits one to labels, judgements or hidden
    positives, and finds the cut that meets a target.

    Which of the two numbers is given decides what is meant:

    - ``max``: a bound on the probability of each candidate. The rate of false negatives among
      what is chosen is not this number: those that are chosen stand near the cut.
    - ``target``: the rate itself. The cut is the one that ``calibrate`` has certified for it and
      kept in the model; a target that the model holds no certified cut for is refused.

    With ``least``, that many candidates of each query are kept in any case, those of the lowest
    probability: then every query is served whose pool is deep enough. A text that stands there
    several times counts once.

    Without ``model`` it is fitted to the data itself when it is mined: of the known positives of
    each query that has several one is shown, and the others are the candidates that are known to
    be relevant. Everything else counts as not relevant, also what nobody has labelled, so the
    probabilities are those of being a KNOWN positive, too low where positives are missing. This
    is not corrected (why: see :class:`~hf_hardneg.risk_model.RiskModel`), and the report says so.

    A candidate with a signal missing has no probability and is not kept: its positive has no
    score (a run that does not list it) or is no document of the corpus.

    A cross-encoder is asked about every candidate of every query that the filters before this one
    leave, and about the positives: at 100 candidates a query that is many times what ``denoised``
    asks about. A smaller depth bounds it, as in ``dense@30+risk(cross_encoder='...')``. Each
    distinct pair is scored once, whatever is mined with it later; the model is loaded when a pair
    is first scored. A fitted model names its cross-encoder by the hash of its weights and
    ``max_length``, and is refused with another one, or with none.

    Args:
        max: the highest probability that is kept, 0 to 1. Default 0.1, if no ``target`` is given.
        target: the share of false negatives that the model's certified cut promises.
        least: candidates of each query that are kept in any case; with ``target`` the one that
            was certified, and not given here.
        model: a file that ``hf-hardneg calibrate --save`` has written, a ``RiskModel``, or the
            JSON text of one. A file is read at once: its content is the parameter, and stands in
            the strategy and the report, so no result depends on a file that may change.
        cross_encoder: name on the Hub, path, or a loaded ``sentence_transformers.CrossEncoder``
            with one output, whose score is a further signal; a loaded one keeps its own revision,
            length and device. Default: none.
        revision: branch, tag or commit of a cross-encoder on the Hub.
        max_length: longest pair in tokens; longer ones are cut. Default: the cross-encoder's own.
        batch_size: pairs in one forward pass.
        device: where the cross-encoder runs; default: sentence-transformers' choice.
        cache_dir: where its scores are kept, so that no pair is scored twice.

    Raises:
        ParameterError: both ``max`` and ``target``; a value out of range; a target without a
            certified cut; a model with other signals than the retriever gives, or fitted with
            another cross-encoder; a parameter of the cross-encoder without one.
        ModelError: the cross-encoder cannot be had, or has more than one output.
        FormatError: the file holds no model.
        QueryError: without a model, no query has two known positives, or too few are retrieved.
    """

    name = "risk"
    source = "this library; cuts: Angelopoulos et al., Learn then test, 2025"
    costs = (
        "reads the vectors of positives and candidates, where there are vectors; with "
        "cross_encoder, a cross-encoder on all candidates of all queries"
    )
    needs = ("scores",)
    among_survivors = True
    model_parameter = "cross_encoder"

    def __init__(
        self,
        *,
        max: float | None = None,
        target: float | None = None,
        least: int = 0,
        model: str | os.PathLike[str] | RiskModel | None = None,
        cross_encoder: Any = None,  # noqa: ANN401
        revision: str | None = None,
        max_length: int | None = None,
        batch_size: int = BATCH_SIZE,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        """Check the parameters; read the model."""
        if max is not None and target is not None:
            raise ParameterError(
                f"risk: max={max} and target={target} are both given; expected one: max bounds "
                "each candidate's probability, target is the promised rate of false negatives."
            )
        self.max = None if max is None else fraction("risk", "max", max)
        self.target = None if target is None else fraction("risk", "target", target)
        self.least = whole_number("risk", "least", least, 0)
        self._model = _model(model)
        # The text is the parameter: what it decides is in the recipe, not where it was read.
        self.model = None if self._model is None else self._model.recipe()
        self._cut, self._least = self._decided()
        self._take_cross_encoder(
            cross_encoder,
            activation=LOGITS,
            revision=revision,
            max_length=max_length,
            batch_size=batch_size,
            device=device,
            cache_dir=cache_dir,
        )
        self.cross_encoder = None if self._scorer is None else self._scorer.model
        if self._model is not None:  # which weights they are is looked at when the work begins
            self._model.refuse_unmatched(None if self._scorer is None else self._scorer.name)

    def _refuse_other(self) -> None:
        """Refuse a model that was fitted with another cross-encoder."""
        if self._model is not None:
            self._model.refuse_other(None if self._scorer is None else self._scorer.note())

    def prepare(self) -> None:
        """Make sure that the cross-encoder is there, and the one that the model wants."""
        super().prepare()
        self._refuse_other()

    def _decided(self) -> tuple[float, int]:
        """Return the highest probability that is kept, and how many are kept in any case."""
        if self.target is None:
            return (DEFAULT_MAX if self.max is None else self.max), self.least
        if self._model is None:
            raise ParameterError(
                f"risk: target={self.target} is given without model. Only a calibrated model "
                "knows the cut for a target: run hf-hardneg calibrate --target-fnr "
                f"{self.target} --save risk.json, and give model='risk.json'."
            )
        cut = self._model.cut_for(self.target)
        if cut is None or not cut.certified:
            known = [one.target for one in self._model.cuts if one.certified]
            raise ParameterError(
                f"risk: the model has no certified cut for target={self.target}; it has them for "
                f"{listing(known)}. Calibrate for this target with more queries, or take a cut "
                "that nothing is promised of: max=..."
            )
        if self.least:
            raise ParameterError(
                f"risk: least={self.least} is given with target, whose cut was certified with "
                f"least={cut.least}. Leave it out."
            )
        return cut.max, cut.least

    @classmethod
    def learns(cls, arguments: Mapping[str, Any]) -> str:
        """Name the regression, and what it was fitted to."""
        given = arguments.get("model")
        known = given is not None and str(given).lstrip().startswith("{")
        origin = RiskModel.from_json(str(given)).origin if known else ""
        labels = origin or ("labels" if given else "hidden positives")
        return f"a logistic regression on scores and similarities, fitted to {labels}"

    @property
    def needs_fit(self) -> bool:
        """Without a model it has to see the known positives of all rows."""
        return self._model is None

    def fitted(self, rows: Rows) -> RiskFilter:
        """Return the filter with a model fitted to the hidden positives of all rows."""
        if not self.needs_fit:
            return self
        pairs = hidden_pairs(rows.retrieved(), self.retriever, rows.seed, MOST_PAIRS, self._scorer)
        if pairs is None:
            raise QueryError(
                "risk: without a model it is fitted to hidden positives, and no query of the data "
                "has two known positives that differ. Give further judgements (positives=...), "
                "or a model: hf-hardneg calibrate --labels labels.jsonl --save risk.json."
            )
        model = fit_risk(pairs, "hidden positives", seed=rows.seed).model
        again = RiskFilter(
            max=self.max,
            least=self.least,
            model=model,
            cross_encoder=self.cross_encoder,
            revision=self.revision,
            max_length=self.max_length,
            batch_size=self.batch_size,
            device=self.device,
            cache_dir=self.cache_dir,
        )
        again._scorer = self._scorer  # loaded, and with the scores at hand
        return again.bound(self.retriever)

    def notes(self) -> tuple[str, ...]:
        """Say what the probabilities are, and what is promised."""
        if self._model is None:
            return ()
        said = []
        if self._model.origin == "hidden positives" and self._model.label_frequency == 1:
            said.append(
                "risk: the model was fitted to hidden positives; what nobody has labelled counts "
                "as not relevant, so its probabilities are too low where positives are missing."
            )
        if self.target is not None and (cut := self._model.cut_for(self.target)):
            said.append(
                f"risk: a share of at most {cut.target:.1%} false negatives is promised "
                f"({cut.promise}, delta {cut.delta}, {cut.queries:,} queries) for "
                f"{cut.num_negatives} negatives a query from the top, of queries like those."
            )
            said += self._not_as_calibrated(self._model.retriever)
        return tuple(said)

    def _not_as_calibrated(self, calibrated: str) -> list[str]:
        """Say where the candidates are not those that the cut is about."""
        if not calibrated or self._source is None:
            return []
        if (mines := source_name(self._source)) == calibrated:
            return []
        return [
            f"risk: the cut was calibrated on what {calibrated} finds, and this is {mines}: "
            "nothing is promised unless these are the same candidates."
        ]

    def probabilities(self, queries: Queries, candidates: Candidates) -> NDArray[np.float64]:
        """Return the estimated probability of being relevant, shape (batch, k).

        ``nan`` where a signal is missing, and in empty slots.
        """
        if self._model is None:
            raise ParameterError(
                "risk: the model has to be fitted to all rows of the data set, and a single batch "
                "does not have them. Use miner.mine(dataset), or give model=..."
            )
        self._refuse_other()  # before anything is scored
        signals = signals_of(queries, candidates, self.retriever, self._scorer)
        return self._model.probabilities(signals.values, signals.names)

    def mask(self, queries: Queries, candidates: Candidates) -> NDArray[np.bool_]:
        """Keep what is unlikely to be relevant."""
        return within(self.probabilities(queries, candidates), candidates, self._cut, self._least)

    @property
    def asks_model(self) -> bool:
        """Whether there is a cross-encoder."""
        return self._scorer is not None

    def trial(self, work: Workload, nearest: Nearest, corpus: Corpus) -> tuple[Phase, ...]:
        """Score some pairs with the cross-encoder; see :meth:`Filter.trial`."""
        if self._scorer is None or not nearest:
            return ()
        return scoring_all(self.name, self._scorer.predict, self.retriever, work, nearest)


def within(
    probabilities: NDArray[np.float64], candidates: Candidates, cut: float, least: int
) -> NDArray[np.bool_]:
    """Return which candidates have at most a probability, or are the least likely, (batch, k).

    Args:
        probabilities: ``nan`` where there is none; such a candidate is never kept.
        candidates: the batch; ties of ``least`` go by slot, the first of equal texts counts.
        cut: the highest probability that is kept.
        least: how many of each query are kept in any case.
    """
    there = candidates.filled & ~np.isnan(probabilities)
    kept = there & (probabilities <= cut)
    if not least:
        return np.asarray(kept)
    lines = np.broadcast_to(np.arange(len(kept))[:, None], kept.shape)[there].astype(np.uint64)
    _, first = np.unique(mix(lines, candidates.document_keys[there]), return_index=True)
    places = np.flatnonzero(there.ravel())[first]
    new = np.zeros(kept.size, dtype=np.bool_)
    new[places] = True
    rising = np.where(new.reshape(kept.shape), probabilities, np.inf)
    order = np.argsort(rising, axis=1, kind="stable")[:, :least]
    lowest = np.zeros_like(kept)
    np.put_along_axis(lowest, order, True, axis=1)
    return np.asarray(kept | (lowest & new.reshape(kept.shape)))


def _model(value: object) -> RiskModel | None:
    """Return the model of a path, a JSON text, or a model."""
    if value is None or isinstance(value, RiskModel):
        return value
    if not isinstance(value, str | os.PathLike):
        raise ParameterError(
            f"risk: model of type {type(value).__name__}; expected the path of a file, a "
            "RiskModel, or its JSON text."
        )
    text = os.fspath(value)
    if isinstance(text, str) and text.lstrip().startswith("{"):
        return RiskModel.from_json(text)
    return RiskModel.read(os.fsdecode(text))
