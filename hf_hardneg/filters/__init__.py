"""What keeps a candidate from becoming a negative, one file each."""

from hf_hardneg.filters.answer_string import AnswerFilter
from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.filters.consistency import ConsistencyFilter
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.filters.diverse import DiverseNegatives
from hf_hardneg.filters.margin import MarginFilter
from hf_hardneg.filters.near_duplicate import NearDuplicateVeto
from hf_hardneg.filters.noisy_pairs import NoisyPairDetector
from hf_hardneg.filters.rank import RankFilter
from hf_hardneg.filters.score import ScoreFilter

__all__ = [
    "AnswerFilter",
    "ConsistencyFilter",
    "CrossEncoderDenoiser",
    "DiverseNegatives",
    "Diversity",
    "Filter",
    "MarginFilter",
    "NearDuplicateVeto",
    "NoisyPairDetector",
    "RankFilter",
    "RowFilter",
    "ScoreFilter",
    "Verdict",
    "Veto",
]
