"""What keeps a candidate from becoming a negative, one file each."""

from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.filters.held_out import HeldOutFilter
from hf_hardneg.filters.held_out_queries import HeldOutQueries
from hf_hardneg.filters.margin import MarginFilter
from hf_hardneg.filters.passage_sieve import PassageSieve
from hf_hardneg.filters.rank import RankFilter
from hf_hardneg.filters.reuse_cap import ReuseCap
from hf_hardneg.filters.score import ScoreFilter
from hf_hardneg.filters.semi_hard import SemiHardFilter

__all__ = [
    "CrossEncoderDenoiser",
    "Diversity",
    "Filter",
    "HeldOutFilter",
    "HeldOutQueries",
    "MarginFilter",
    "PassageSieve",
    "RankFilter",
    "ReuseCap",
    "RowFilter",
    "ScoreFilter",
    "SemiHardFilter",
    "Verdict",
    "Veto",
]
