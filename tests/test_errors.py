"""Errors travel from worker processes, and name what is meant."""

from __future__ import annotations

import pickle

import pytest

from hf_hardneg import errors
from hf_hardneg.errors import HardNegError, MissingExtraError, did_you_mean, listing

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HardNegError) and kind is not MissingExtraError
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_from_a_worker(kind: type[HardNegError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what is wrong")))
    assert (type(again), str(again)) == (kind, "what is wrong")


def test_a_missing_package_comes_back_from_a_worker() -> None:
    error = MissingExtraError("qdrant-client", "qdrant", "a Qdrant collection")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MissingExtraError
    assert str(again) == str(error)
    assert 'pip install "hf-hardneg[qdrant]"' in str(again)


def test_lists_are_bounded_and_hints_are_near() -> None:
    assert listing([]) == "none"
    assert listing(range(5), limit=3) == "0, 1, 2, and 2 more"
    assert did_you_mean("treshold", ["threshold", "margin"]) == " Did you mean 'threshold'?"
    assert did_you_mean("zzz", ["threshold", "margin"]) == ""
