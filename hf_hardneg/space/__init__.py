"""The Space: a web app to see, judge and correct the negatives of a mined set.

``hf-hardneg inspect`` starts it locally; ``spaces_app/`` is the same as a Space on the Hub. It
needs the extra ``space`` (Gradio).
"""

from hf_hardneg.space.app import build_app, launch
from hf_hardneg.space.settings import SpaceSettings

__all__ = ["SpaceSettings", "build_app", "launch"]
