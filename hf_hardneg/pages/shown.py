"""Numbers and texts as people are shown them."""

from __future__ import annotations

import unicodedata

__all__ = ["number", "percent", "visible"]

KEPT = frozenset("\n\t\u200c\u200d\u00ad")
"""Controls that texts need: line ends, tabs, the joiners of scripts and emoji, soft hyphens."""
HIDDEN = ("Cc", "Cf", "Cs", "Co")


def visible(text: object) -> str:
    """Return a text with its control characters made visible.

    Terminals obey some of them, and those that set the direction of writing reorder what stands
    around them. Their codes are shown instead: fonts lack the pictures that Unicode has for some.
    Line ends, tabs and the joiners that scripts and emoji are written with stay.
    """
    shown = str(text).replace("\r\n", "\n")
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(map(_visible, shown))


def _visible(letter: str) -> str:
    if letter in KEPT or unicodedata.category(letter) not in HIDDEN:
        return letter
    return f"[U+{ord(letter):04X}]"


def percent(share: float | None) -> str:
    """Return a share in per cent: not 0 where there is something, not 100 where something lacks."""
    if share is None:
        return "-"
    if 0 < share < 0.0001:
        return "<0.01%"
    if 0.9999 < share < 1:
        return ">99.99%"
    return f"{share:.2%}"


def number(value: float | None) -> str:
    """Return a number with its thousands apart, a fraction with four digits, a truth as a word."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
