"""The endpoints for programs, called by Gradio's client and by plain HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from space_server import App, inspect, space

from hf_hardneg.inspection import open_inspected
from hf_hardneg.inspection.finding_rows import RowFinder
from hf_hardneg.inspection.label_book import LabelBook
from hf_hardneg.inspection.overview import overview_of
from hf_hardneg.inspection.suspicion import Suspicion
from hf_hardneg.inspection.wanted import Wanted

pytest.importorskip("gradio")
from gradio_client import Client
from gradio_client.exceptions import AppError

from hf_hardneg.space.desk import caller_of_request
from hf_hardneg.space.settings import SpaceSettings

ENDPOINTS = {"/row", "/overview", "/search", "/label"}
PRIVATE = ("browse_mark", "judge_label", "judge_export", "open", "first", "decide", "compare")
PEOPLE, EACH = 20, 3


def client(app: App) -> Any:
    return Client(app.url, verbose=False)


@pytest.fixture(scope="module")
def asked(app: App) -> Any:
    return client(app)


@pytest.fixture(scope="module")
def public(docs: Path, space_folder: Path, space_cache: Path) -> Iterator[App]:
    """The app as a Space, for everybody; its own set is a folder that it was started with."""
    running = space(
        str(docs), space_folder / "public-labels", space_cache, local=False,
        environment={"HF_TOKEN": "hf_alice"},
    )  # fmt: skip
    yield running
    try:
        running.check()
    finally:
        running.stop()


def as_json(values: Any) -> Any:
    return json.loads(json.dumps(values))


def posted(app: App, name: str, data: list[Any], **further: Any) -> tuple[int, str]:
    """Call an endpoint as curl would; return the status and what the last answer said."""
    host = urlsplit(app.url).netloc
    body = json.dumps({"data": data, **further})
    headers = {"Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("POST", f"/gradio_api/call/{name}", body, headers)
        with connection.getresponse() as answer:
            status, said = answer.status, answer.read().decode()
        if status != 200:
            return status, said
        connection.request("GET", f"/gradio_api/call/{name}/{json.loads(said)['event_id']}")
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


def test_only_the_endpoints_are_offered(asked: Any, app: App) -> None:
    offered = asked.view_api(return_format="dict")
    assert set(offered["named_endpoints"]) == ENDPOINTS
    assert not offered["unnamed_endpoints"]
    for name in ("/row", "/label"):
        names = [one["parameter_name"] for one in offered["named_endpoints"][name]["parameters"]]
        assert not {"request", "profile"} & set(names)


@pytest.mark.parametrize("name", PRIVATE)
def test_what_the_page_alone_uses_is_not_offered(asked: Any, name: str) -> None:
    with pytest.raises(ValueError, match="Cannot find a function"):
        asked.predict(api_name=f"/{name}")


def test_row_and_overview_are_those_of_the_set(asked: Any, docs: Path) -> None:
    inspected = open_inspected(docs)
    for number in (0, 7, len(inspected) - 1):
        found = asked.predict(number, api_name="/row")
        for one in found["negatives"]:
            assert isinstance(one.pop("reasons"), list)
        assert found == as_json(inspected.row(number).to_dict())
    found = asked.predict(api_name="/overview")
    wanted = as_json(overview_of(inspected).to_dict())
    assert found["counts"] == wanted["counts"]
    assert found["flow"] == wanted["flow"]
    assert found["reused"] == wanted["reused"]


def test_reasons_and_search_are_those_of_the_set(asked: Any, docs_plain: Path) -> None:
    inspected = open_inspected(docs_plain)
    suspicion = Suspicion(inspected)
    suspicion.start()
    assert suspicion.wait(60)
    finder = RowFinder(inspected, suspicion)
    word = inspected.row(5).query.split()[0]
    for wanted in (
        Wanted(),
        Wanted(order="suspicious"),
        Wanted(search=word),
        Wanted(search=word, search_in="all texts", order="suspicious"),
        Wanted(document=inspected.row(8).positives[0].document_id),
        Wanted(reasons=frozenset({"outscores"})),
        Wanted(short=True),
    ):
        found = asked.predict(
            words=wanted.search,
            search_in=wanted.search_in,
            document=wanted.document,
            reasons=sorted(wanted.reasons),
            short=wanted.short,
            order=wanted.order,
            data=str(docs_plain),
            api_name="/search",
        )
        rows = finder.find(wanted)
        assert rows.complete
        assert (found["rows"], found["total"]) == (rows.rows.tolist()[:100], rows.total)
    later = asked.predict(start=35, data=str(docs_plain), api_name="/search")
    assert later["rows"] == list(range(35, len(inspected)))
    first = int(finder.find(Wanted(order="suspicious")).rows[0])
    found = asked.predict(first, data=str(docs_plain), api_name="/row")
    assert [one["reasons"] for one in found["negatives"]] == [
        [reason.name for reason in reasons] for reasons in suspicion.reasons(first)
    ]
    finder.close()


def test_a_label_is_kept_under_the_name_of_the_caller(asked: Any, app: App, docs: Path) -> None:
    said = asked.predict(12, 1, "unsure", note="by a program", api_name="/label")
    assert said == {"row": 12, "place": 1, "label": "unsure", "annotator": "ann"}
    view = open_inspected(docs).row(12)
    mine = LabelBook(app.labels, "ann").mine()
    kept = next(row for row in mine if row.document_id == view.negatives[1].document_id
                and row.query_id == view.query_id)  # fmt: skip
    assert (str(kept.label), kept.note, kept.document) == (
        "unsure", "by a program", view.negatives[1].text
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0, 0, "false_positive"), "expected one of"),
        ((0, 0, "<img src=x>"), "&lt;img src=x&gt;"),
        ((10_000, 0, "unsure"), "no row 10,000"),
        ((-1, 0, "unsure"), "no row -1"),
        ((0, 99, "unsure"), "no negative 99"),
        ((0, -1, "unsure"), "no negative -1"),
    ],
)
def test_label_refuses_in_words(asked: Any, app: App, values: Any, words: str) -> None:
    before = len(LabelBook(app.labels, "ann").labels())
    with pytest.raises(AppError, match=words):
        asked.predict(*values, api_name="/label")
    assert len(LabelBook(app.labels, "ann").labels()) == before


def test_what_cannot_be_opened_is_said(asked: Any, space_folder: Path) -> None:
    with pytest.raises(AppError, match="cannot be opened"):
        asked.predict(0, data=str(space_folder / "no" / "such"), api_name="/row")
    with pytest.raises(AppError, match="has no row"):
        asked.predict(400, api_name="/row")


def test_many_at_once_lose_no_label(app: App, docs: Path) -> None:
    inspected = open_inspected(docs)
    pairs = [
        (row, place)
        for row in range(15, len(inspected))
        for place in range(len(inspected.row(row).negatives))
    ][: PEOPLE * EACH]
    assert len(pairs) == PEOPLE * EACH
    clients = [client(app) for _ in range(PEOPLE)]

    def say(number: int) -> None:
        for row, place in pairs[number::PEOPLE]:
            clients[number].predict(row, place, "true_negative", f"of {number}", api_name="/label")

    with ThreadPoolExecutor(PEOPLE) as threads:
        list(threads.map(say, range(PEOPLE)))
    said = {
        (row.query_id, row.document_id): row.note for row in LabelBook(app.labels, "ann").mine()
    }
    for number in range(PEOPLE):
        for row, place in pairs[number::PEOPLE]:
            view = inspected.row(row)
            assert said[view.query_id, view.negatives[place].document_id] == f"of {number}"


def test_two_people_in_two_processes_lose_nothing(
    docs: Path, tmp_path: Path, space_cache: Path
) -> None:
    apps = [inspect(docs, tmp_path, space_cache, "--annotator", name) for name in ("ann", "bob")]
    try:
        clients = [client(one) for one in apps]

        def say(who: int) -> None:
            for row in range(15, 35):
                if open_rows[row]:
                    clients[who].predict(row, 0, ("unsure", "true_negative")[who],
                                         api_name="/label")  # fmt: skip

        inspected = open_inspected(docs)
        open_rows = [bool(inspected.row(row).negatives) for row in range(len(inspected))]
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(say, range(2)))
    finally:
        for one in apps:
            one.check()
            one.stop()
    book = LabelBook(tmp_path, "ann")
    for name, label in (("ann", "unsure"), ("bob", "true_negative")):
        mine = [row for row in book.labels() if row.annotator == name]
        assert len(mine) == sum(open_rows[15:35])
        assert {str(row.label) for row in mine} == {label}


# -- who may label --------------------------------------------------------------------------------


def request(host: str | None, **headers: str) -> Any:
    at = None if host is None else SimpleNamespace(host=host)
    return SimpleNamespace(client=at, headers=headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_whoever_calls_from_this_machine_may_label(host: str) -> None:
    settings = SpaceSettings(annotator="ann")
    assert caller_of_request(settings, request(host)).name == "ann"


@pytest.mark.parametrize("host", ["192.168.1.7", "10.0.0.1", "8.8.8.8", "fe80::1", "", None, "x"])
def test_whoever_calls_from_elsewhere_may_not(host: str | None) -> None:
    settings = SpaceSettings(annotator="ann")
    caller = caller_of_request(settings, request(host, **{"x-forwarded-for": "127.0.0.1"}))
    assert caller.name == ""
    assert "hf-hardneg inspect" in caller.why_not


def test_a_space_takes_no_label_of_nobody(public: App) -> None:
    asked = client(public)
    assert asked.predict(0, api_name="/row")["number"] == 0
    with pytest.raises(AppError, match="Sign in with your Hugging Face account"):
        asked.predict(0, 0, "unsure", api_name="/label")
    status, said = posted(public, "label", [0, 0, "unsure", "", "", ""])
    assert status == 200
    assert "event: error" in said
    assert "Sign in" in said
    profile = {"sub": "1", "preferred_username": "alice", "name": "alice"}
    status, said = posted(public, "label", [0, 0, "unsure", "", "", "", {}, profile])
    assert "event: error" in said or status != 200
    # The page's own listeners can be reached by whoever makes up a call, so they ask too.
    mark = {"row": 0, "place": 0, "label": "unsure", "note": ""}
    posted(public, "browse_mark", [None, None, None], event_data=mark)
    said = posted(public, "judge_start", [None, 12, True, -1])[1]
    assert "Sign in" in said
    assert not list(public.labels.glob("labels-*"))


def test_a_space_shows_nothing_of_its_machine(public: App, hostile: Path) -> None:
    asked = client(public)
    for name in (
        str(hostile / "rows.parquet"),
        "/etc/passwd",
        "../docs",
        "~",
        "file:///etc/passwd",
    ):
        with pytest.raises(AppError) as failed:
            asked.predict(0, data=name, api_name="/row")
        assert "cannot be opened" in str(failed.value), name
