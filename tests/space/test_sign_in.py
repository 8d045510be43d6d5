"""The Space for everybody: signing in with a Hub account, labelling, and labels on the Hub."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_oauth import App, OAuthProvider
from hub_server import LoopbackHub

APP = Path(__file__).parents[2] / "spaces_app" / "app.py"
SECRET = "not-told-to-anybody"
SCOPES = "openid profile contribute-repos"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def hub(space_folder: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(space_folder / "hub") as server:
        server.settings.oauth = OAuthProvider(server.url)
        yield server


@pytest.fixture(scope="module")
def space(hub: LoopbackHub, space_folder: Path, space_cache: Path) -> Iterator[str]:
    """The Space itself, as the Hub starts it: its own file, in its environment."""
    home = space_folder / "signed-in"
    home.mkdir()
    port = free_port()
    url = f"http://localhost:{port}"  # to which browsers send cookies that want https
    assert hub.settings.oauth is not None
    hub.settings.oauth.apps["the app"] = App(SECRET, (f"{url}/login/callback",))
    hub.settings.oauth.signed_in = "alice"
    values = {
        "SYSTEM": "spaces", "SPACE_ID": "alice/negatives", "GRADIO_SERVER_PORT": str(port),
        "OAUTH_CLIENT_ID": "the app", "OAUTH_CLIENT_SECRET": SECRET, "OAUTH_SCOPES": SCOPES,
        "OPENID_PROVIDER_URL": hub.url, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",        "HF_HOME": str(home / "hub"), "HF_TOKEN": "hf_bob",
    }  # fmt: skip
    log = home / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, str(APP)], cwd=home, stdout=out, stderr=out,
            env={**os.environ, **values},
        )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and running.poll() is None:
            try:
                httpx.get(f"{url}/config", timeout=2).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.3)
        else:
            pytest.fail(log.read_text())
        yield url
        text = log.read_text()
        assert SECRET not in text
        assert "hf_" not in re.sub(r"hf_hardneg|hf_oauth_scopes", "", text)
    finally:
        running.terminate()
        running.wait(20)


def test_somebody_signs_in_labels_and_keeps_the_labels_on_the_hub(
    space: str, hub: LoopbackHub, chromium: Any
) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{space}/?row=3")
    page.wait_for_selector("[data-hn-row='3']", timeout=60_000)
    assert "Sign in with your Hugging Face account" in page.inner_text("#hn-head")
    page.keyboard.press("1")
    page.keyboard.press("f")
    page.wait_for_selector("text=Sign in with your Hugging Face account to label")
    assert not page.query_selector("[data-hn-card] [aria-pressed=true]")

    page.get_by_role("button", name="Sign in with Hugging Face").click()
    page.wait_for_selector("text=You label as alice", timeout=30_000)
    page.wait_for_selector("[data-hn-row]")
    page.goto(f"{space}/?row=3")
    page.wait_for_selector("[data-hn-row='3']")
    page.keyboard.press("1")
    page.keyboard.press("f")
    page.wait_for_selector("[data-hn-card='0'] [aria-pressed=true]")

    page.get_by_role("tab", name="Judge").click()
    page.get_by_text("Keep the labels on the Hub").click()
    page.get_by_label("Data set repository of yours").fill("alice/labels")
    page.get_by_role("button", name="Commit them there").click()
    page.wait_for_selector("text=Your labels are in alice/labels")
    files = hub.files("alice/labels")
    names = [name for name in files if name.endswith(".jsonl")]
    assert len(names) == 1
    label = json.loads(files[names[0]].splitlines()[0])
    assert (label["label"], label["annotator"]) == ("false_negative", "alice")


def test_a_call_is_known_by_its_token_and_not_by_what_it_says(
    space: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError
    from huggingface_hub import constants

    # A client without a token takes the one of its machine.
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    asked = (3, 0, "true_negative")
    for token in (None, "hf_nobody"):
        client = Client(space, token=token, verbose=False)
        try:
            found = client.predict(*asked, api_name="/label")
        except AppError as error:
            assert "Sign in" in str(error)  # noqa: PT017
        else:
            pytest.fail(f"with the token {token!r} this was kept: {found}")
    signed = Client(space, token="hf_alice", verbose=False)
    assert signed.predict(*asked, api_name="/label")["annotator"] == "alice"
