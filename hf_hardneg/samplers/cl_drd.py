"""The stages of CL-DRD: a teacher's order that gets finer from stage to stage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_hardneg.candidates import Candidates, Queries, places_by_score
from hf_hardneg.errors import ParameterError
from hf_hardneg.samplers.base import Sampler

__all__ = ["CLDRDSampler"]

PASSAGES = 30
ORDERED = {1: 5, 2: 10, 3: 20}
"""How many passages are in the teacher's order, by stage."""


class CLDRDSampler(Sampler):
    """Takes the first 30 candidates in the teacher's order, each marked with its level.

    The teacher is what scored the pool, such as ``"bm25@200+multi-vector"``. Candidates are taken
    by falling score without noise, ties by rank, those without a score last, at most 30 a query:
    ask for ``num_negatives=30``. The column ``hard_negative_strata`` holds the level of each:

    - ``ordered``: the first 5, 10 or 20 in stage 1, 2 or 3, whose order the student learns;
    - ``upper`` and ``lower``: the rest, the first half and the second half. The order within a
      level does not count, and ``upper`` stands above ``lower``. Of the 25 of stage 1 the first
      12 are ``upper`` and 13 ``lower``, as in the authors' released training code.

    ====== ======= ===== =====
    stage  ordered upper lower
    ====== ======= ===== =====
    1      5       12    13
    2      10      10    10
    3      20      5     5
    ====== ======= ===== =====

    Levels go by the place among what the filters leave. There are no quotas: where a veto, or a
    text that stands there twice, takes a candidate away, its level has one less.

    Source: H. Zeng, H. Zamani, V. Vinay, "Curriculum learning for dense retrieval distillation",
    SIGIR 2022. Differences: known positives are never negatives, so the 30 are without them. The
    released code reads the passages of the lower levels from a file of which it does not say how
    it was made; here they are the next ones in the teacher's order. This gives the passages and
    their levels, not the loss that is trained on them (LambdaMRR).

    Args:
        stage: of the curriculum, 1, 2 or 3, default 1 (the paper trains on all three in turn).

    Raises:
        ParameterError: there is no such stage.
    """

    name = "cl-drd"
    noisy = False
    among_survivors = True
    needs = ("scores",)
    stratum_names = ("ordered", "upper", "lower")
    source = "CL-DRD (Zeng et al., SIGIR 2022)"

    def __init__(self, *, stage: int = 1) -> None:
        """Check the stage."""
        if isinstance(stage, bool) or not isinstance(stage, int) or stage not in ORDERED:
            raise ParameterError(
                f"cl-drd: stage={stage!r}; expected 1, 2 or 3, the paper's stages, in which the "
                "first 5, 10 or 20 of 30 passages are in the teacher's order."
            )
        self.stage = stage

    def log_weights(
        self, queries: Queries, candidates: Candidates, seed: int
    ) -> NDArray[np.float64]:
        """Return the negative place in the teacher's order, minus infinity after the 30th."""
        places = places_by_score(candidates)
        return np.where(places < PASSAGES, -places.astype(np.float64), -np.inf)

    def strata(self, queries: Queries, candidates: Candidates) -> NDArray[np.int8]:
        """Return the level of every candidate, shape (batch, k)."""
        ordered = ORDERED[self.stage]
        upper = ordered + (PASSAGES - ordered) // 2
        places = places_by_score(candidates)
        return (places >= ordered).astype(np.int8) + (places >= upper).astype(np.int8)
