"""The sources and columns of a recipe, from its nodes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from hf_hardneg.columns import QueryColumns
from hf_hardneg.hub.section import Section, text_of
from hf_hardneg.hub.source_names import HUB_FORM, Source, inside, is_hub_id, path_fault, split_name
from hf_hardneg.hub.yaml_nodes import Node
from hf_hardneg.registry import registered
from hf_hardneg.sources import DocumentColumns

__all__ = ["columns_of", "path_of", "refuse_bare_path", "source_of"]

SOURCE_KEYS = ("source", "config", "revision", "split", "licence")


def columns_of(node: Node) -> tuple[QueryColumns, DocumentColumns]:
    """Return the columns of the queries and of the documents."""
    queries = [entry.name for entry in fields(QueryColumns)]
    documents = [f"document_{entry.name}" for entry in fields(DocumentColumns)]
    given = Section(node, [*queries, *documents])
    return (
        QueryColumns(*(given.text(name) for name in queries)),
        DocumentColumns(*(given.text(name) for name in documents)),
    )


def source_of(section: Section, name: str, folder: Path) -> Source | None:
    """Return the source under a key, in its short form or its long one; ``None`` without one.

    Raises:
        RecipeError: a path that leaves the folder, a name that could be two things, ...
    """
    node = section.node(name)
    if node is None:
        return None
    if not isinstance(node.value, dict):
        found = _named(node, folder)
        return Source(*found)
    given = Section(node, SOURCE_KEYS)
    where = given.required("source", HUB_FORM)
    text, revision, config = _named(where, folder)
    for key, short in (("revision", revision), ("config", config)):
        if short is not None and key in given:
            raise given.place(key).error(f"is given twice: {short!r} stands in the source too.")
    source = Source(
        text,
        revision or given.text("revision"),
        config or given.text("config"),
        given.text("split"),
        given.text("licence"),
    )
    for key in ("revision", "config"):
        if source.is_local and key in given:
            raise given.place(key).error(f"belongs to data on the Hub; {text!r} is a path.")
    return source


def _named(node: Node, folder: Path) -> tuple[str, str | None, str | None]:
    """Return name, revision and config of a source in its short form."""
    text = text_of(node)
    name, config, revision = split_name(text)
    if is_hub_id(name):
        if not text.startswith("./") and (folder / name).exists():
            raise node.error(
                f"is {name!r}, which is a path in the recipe's folder and a name on the Hub. "
                f"Write ./{name} for the path."
            )
        return name, revision, config
    return _local(node, text, folder), None, None


def _local(node: Node, text: str, folder: Path) -> str:
    """Return a path inside the folder in its one form."""
    if "://" in text:
        raise node.error(_about_address(text))
    if fault := path_fault(text):
        raise node.error(
            f"is {text!r}, which {fault}. Expected a path inside the recipe's folder, or "
            f"{HUB_FORM}."
        )
    if inside(folder, text) is None:
        raise node.error(f"is {text!r}, which leads out of the recipe's folder.")
    name = Path(text).as_posix()
    return f"./{name}" if is_hub_id(name) else name


def _about_address(text: str) -> str:
    scheme = text.partition("://")[0].partition("+")[0]
    said = f"is {text!r}, an address; expected a path inside the recipe's folder, or {HUB_FORM}. "
    known = registered().retrievers
    if scheme not in known:
        return said + "Save it as a file there, or write the name that a data set has on the Hub."
    told = f"A search engine is named by the strategy, strategy: {scheme}, with its parameters "
    told += f"under mining.settings, such as {scheme}.top_k. "
    if known[scheme].brings_corpus:
        return said + told + "It brings the documents, so leave data.corpus out."
    return said + told + "Give the documents that it was built from as data.corpus."


def refuse_bare_path(node: Node, folder: Path) -> None:
    """Refuse a setting that is the name of a file beside the recipe, not written as a path.

    It would start in the folder that the recipe is run from.

    Raises:
        RecipeError: it is one.
    """
    text = node.value
    if not isinstance(text, str) or text.startswith("./") or not text.strip():
        return
    place = inside(folder, text)
    if place is not None and place != folder.resolve() and place.exists():
        raise node.error(
            f"is {text!r}, which is in the recipe's folder. Write ./{text} for the path."
        )


def path_of(section: Section, name: str, folder: Path) -> Path | None:
    """Return the path under a key, relative to the recipe's folder, which it stays in."""
    node = section.node(name)
    if node is None:
        return None
    return Path(_local(node, text_of(node), folder))
