"""Which words are marked: the text stays whole, and only shared words are marked."""

from hypothesis import given
from hypothesis import strategies as st

from hf_hardneg.inspection.words import content_words, pieces

TEXTS = st.text(max_size=200)


@given(TEXTS, TEXTS, TEXTS)
def test_the_pieces_are_the_text(text: str, query: str, positive: str) -> None:
    found = pieces(text, content_words([query]), content_words([positive]))
    assert "".join(piece.text for piece in found) == text
    assert {piece.shared for piece in found} <= {"", "query", "positive"}


def test_words_are_compared_without_case_and_common_ones_are_not_marked() -> None:
    query = content_words(["The Effect of Zinc"])
    found = pieces("An effect of the ZINC, zincs", query, content_words(["an ZINC zincs"]))
    marked = [(piece.text, piece.shared) for piece in found if piece.shared]
    assert marked == [("effect", "query"), ("ZINC", "query"), ("zincs", "positive")]


def test_scripts_without_spaces_and_with_ligatures() -> None:
    assert content_words(["\ufb01eld"]) == {"field"}  # normalised: the ligature of f and i
    assert "水" in content_words(["水"])
