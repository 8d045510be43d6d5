"""Hard negative mining for dense retrieval, as an extension of Hugging Face ``datasets``."""

from importlib.metadata import PackageNotFoundError, version

from hf_hardneg.batch_samplers import ConflictFreeBatchSampler, TopicAwareBatchSampler
from hf_hardneg.corpus import Corpus
from hf_hardneg.encoders import CallableEncoder
from hf_hardneg.errors import HardNegError
from hf_hardneg.filters import (
    AnswerFilter,
    ConsistencyFilter,
    CrossEncoderDenoiser,
    DiverseNegatives,
    HeldOutFilter,
    HeldOutQueries,
    LabelledFilter,
    MarginFilter,
    NearDuplicateVeto,
    NoisyPairDetector,
    PassageSieve,
    RankFilter,
    ReuseCap,
    RiskFilter,
    ScoreFilter,
    SemiHardFilter,
)
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
from hf_hardneg.samplers import (
    AmbiguousZoneSampler,
    CLDRDSampler,
    CurriculumSampler,
    DistanceWeightedSampler,
    ImportanceSampler,
    MarginBinSampler,
    RandomSampler,
    RankDistributionSampler,
    StratifiedSampler,
    TopSampler,
    TriangularSampler,
)

__all__ = [
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

try:
    __version__ = version("hf-hardneg")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "0+unknown"
