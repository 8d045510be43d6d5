"""Hard negative mining for dense retrieval, as an extension of Hugging Face ``datasets``."""

from importlib.metadata import PackageNotFoundError, version

from hf_hardneg.batch_samplers import ConflictFreeBatchSampler, TopicAwareBatchSampler
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import HardNegError
from hf_hardneg.filters import CrossEncoderDenoiser, MarginFilter, RankFilter, ScoreFilter
from hf_hardneg.miner import OfflineMiner
from hf_hardneg.report import Report
from hf_hardneg.retrievers import (
    BM25Retriever,
    DenseRetriever,
    ElasticsearchRetriever,
    FaissRetriever,
    HybridRetriever,
    LuceneRetriever,
    MilvusRetriever,
    MultiVectorRetriever,
    QdrantRetriever,
    RandomRetriever,
    RunRetriever,
    SparseRetriever,
    WeaviateRetriever,
)
from hf_hardneg.samplers import RandomSampler, TopSampler

__all__ = [
    "BM25Retriever",
    "CallableEncoder",
    "ConflictFreeBatchSampler",
    "Corpus",
    "CrossEncoderDenoiser",
    "DenseRetriever",
    "ElasticsearchRetriever",
    "FaissRetriever",
    "HardNegError",
    "HybridRetriever",
    "LuceneRetriever",
    "MarginFilter",
    "MilvusRetriever",
    "MultiVectorRetriever",
    "OfflineMiner",
    "QdrantRetriever",
    "RandomRetriever",
    "RandomSampler",
    "RankFilter",
    "Report",
    "RunRetriever",
    "ScoreFilter",
    "SparseRetriever",
    "TopSampler",
    "TopicAwareBatchSampler",
    "WeaviateRetriever",
]

try:
    __version__ = version("hf-hardneg")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
