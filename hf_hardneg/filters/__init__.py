"""What keeps a candidate from becoming a negative, one file each."""

from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.filters.margin import MarginFilter
from hf_hardneg.filters.rank import RankFilter
from hf_hardneg.filters.score import ScoreFilter

__all__ = [
    "CrossEncoderDenoiser",
    "Diversity",
    "Filter",
    "MarginFilter",
    "RankFilter",
    "RowFilter",
    "ScoreFilter",
    "Verdict",
    "Veto",
]
