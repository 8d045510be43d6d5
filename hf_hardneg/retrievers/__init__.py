"""Where candidates come from, one file each."""

from hf_hardneg.retrievers.base import JoinedRetriever, Retriever
from hf_hardneg.retrievers.bm25 import BM25Retriever
from hf_hardneg.retrievers.dense import DenseRetriever
from hf_hardneg.retrievers.elasticsearch import ElasticsearchRetriever
from hf_hardneg.retrievers.faiss_index import FaissRetriever
from hf_hardneg.retrievers.hybrid import HybridRetriever
from hf_hardneg.retrievers.lucene import LuceneRetriever
from hf_hardneg.retrievers.milvus import MilvusRetriever
from hf_hardneg.retrievers.multi_vector import MultiVectorRetriever
from hf_hardneg.retrievers.qdrant import QdrantRetriever
from hf_hardneg.retrievers.random import RandomRetriever
from hf_hardneg.retrievers.run import RunRetriever
from hf_hardneg.retrievers.sparse import SparseRetriever
from hf_hardneg.retrievers.weaviate import WeaviateRetriever

__all__ = [
    "BM25Retriever",
    "DenseRetriever",
    "ElasticsearchRetriever",
    "FaissRetriever",
    "HybridRetriever",
    "JoinedRetriever",
    "LuceneRetriever",
    "MilvusRetriever",
    "MultiVectorRetriever",
    "QdrantRetriever",
    "RandomRetriever",
    "Retriever",
    "RunRetriever",
    "SparseRetriever",
    "WeaviateRetriever",
]
