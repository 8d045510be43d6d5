"""What is tried again, how often, and after how long."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from hf_hardneg.errors import HubError
from hf_hardneg.hub import retries
from hf_hardneg.hub.retries import Retries, asked_wait, default_wait, transient


class Answered(Exception):
    """An error as the Hub's client raises for an answer."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__("no")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.response = SimpleNamespace(status_code=status, headers=named)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(retries, "time", SimpleNamespace(sleep=found.append))
    return found


def failing(*errors: Exception) -> Any:
    """A step that fails so often, and then returns how often it was called."""
    left = list(errors)

    def step() -> int:
        if left:
            raise left.pop(0)
        return len(errors) + 1

    return step


@pytest.mark.parametrize("status", [408, 409, 412, 425, 429, 500, 502, 503, 504, 520])
def test_statuses_that_pass(status: int) -> None:
    assert transient(Answered(status))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 413, 422])
def test_statuses_that_do_not(status: int) -> None:
    assert not transient(Answered(status))


def test_transport_and_what_is_behind_an_error() -> None:
    import httpx2

    for error in (
        httpx2.ReadTimeout("t"), httpx2.ConnectError("c"), httpx2.RemoteProtocolError("r"),
        ConnectionResetError(), TimeoutError(), json.JSONDecodeError("x", "<html>", 0),
    ):  # fmt: skip
        assert transient(error)
        wrapped = RuntimeError("Error while uploading")
        wrapped.__cause__ = error
        assert transient(wrapped)
    assert not transient(ValueError("x"))
    assert not transient(HubError("x"))
    refusal = HubError("no")
    refusal.__context__ = ConnectionResetError()
    assert not transient(refusal)


def test_what_the_server_asks_for() -> None:
    assert asked_wait(Answered(429, retry_after="7")) == 7.0
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)
    dated = Answered(503, retry_after="Thu, 01 Jan 2026 12:00:30 GMT")
    assert asked_wait(dated, now) == 30.0
    assert asked_wait(Answered(503, retry_after="Thu, 01 Jan 2026 11:00:00 GMT"), now) == 0.0
    assert asked_wait(Answered(503, retry_after="soon")) == 0.0
    assert asked_wait(Answered(429, ratelimit='"api";r=0;t=55')) == 55.0
    assert asked_wait(Answered(429, ratelimit='"api";r=9;t=55')) == 0.0
    assert asked_wait(Answered(503)) == asked_wait(ConnectionResetError()) == 0.0


def test_waits_are_kept_to(slept: list[float]) -> None:
    said: list[str] = []
    tried = Retries(lambda failures: 2.0 * failures, said.append)
    step = failing(Answered(503), Answered(429, retry_after="9"), Answered(429, retry_after="1"))
    assert tried.run("reading", step) == 4
    assert slept == [2.0, 9.0, 6.0]
    assert tried.tries == 4
    assert said[0] == "reading failed (status 503); try 2 of 10 in 2.0 s"


def test_one_budget_for_all_steps(slept: list[float]) -> None:
    tried = Retries(lambda _: 0.0, tries=3)
    tried.run("one", failing(Answered(503)))
    with pytest.raises(HubError, match="two failed, and 3 tries are used up; the last: status 502"):
        tried.run("two", failing(Answered(503), Answered(502)))
    assert len(slept) == 2


def test_too_long_a_wait_is_told_and_not_kept_to(slept: list[float]) -> None:
    with pytest.raises(HubError, match="asks to wait 3,600 seconds"):
        Retries().run("reading", failing(Answered(429, retry_after="3600")))
    assert slept == []


def test_other_errors_come_out_as_they_are() -> None:
    error = Answered(404)
    with pytest.raises(Answered) as caught:
        Retries().run("reading", failing(error))
    assert caught.value is error


def test_the_default_wait_grows_to_a_minute() -> None:
    for failures in range(1, 12):
        longest = min(60.0, 2.0**failures)
        for _ in range(20):
            assert longest / 2 <= default_wait(failures) <= longest
