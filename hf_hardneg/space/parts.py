"""What the views of the app share."""

from __future__ import annotations

import html as markup
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gradio as gr

from hf_hardneg.errors import HardNegError
from hf_hardneg.pages import visible
from hf_hardneg.space.desk import Desk
from hf_hardneg.space.settings import SpaceSettings
from hf_hardneg.space.shelf import Shelf

__all__ = ["Parts", "said"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the views share.

    Attributes:
        settings: of the app.
        shelf: the open sets.
        desk: the labels.
        wish: state of a session: which set it shows.
    """

    settings: SpaceSettings
    shelf: Shelf
    desk: Desk
    wish: gr.State


@contextmanager
def said() -> Iterator[None]:
    """Turn an error of ours into one that Gradio shows, with nothing of data run as HTML."""
    try:
        yield
    except HardNegError as error:
        shown = markup.escape(visible(str(error)))
        raise gr.Error(shown, print_exception=False, title="That did not work") from error
