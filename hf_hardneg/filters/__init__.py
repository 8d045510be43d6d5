"""What keeps a candidate from becoming a negative, one file each."""

from hf_hardneg.filters.answer_string import AnswerFilter
from hf_hardneg.filters.base import Diversity, Filter, RowFilter, Verdict, Veto
from hf_hardneg.filters.consistency import ConsistencyFilter
from hf_hardneg.filters.cross_encoder import CrossEncoderDenoiser
from hf_hardneg.filters.diverse import DiverseNegatives
from hf_hardneg.filters.held_out import HeldOutFilter
from hf_hardneg.filters.held_out_queries import HeldOutQueries
from hf_hardneg.filters.labelled import LabelledFilter
from hf_hardneg.filters.margin import MarginFilter
from hf_hardneg.filters.near_duplicate import NearDuplicateVeto
from hf_hardneg.filters.noisy_pairs import NoisyPairDetector
from hf_hardneg.filters.passage_sieve import PassageSieve
from hf_hardneg.filters.rank import RankFilter
from hf_hardneg.filters.reuse_cap import ReuseCap
from hf_hardneg.filters.risk import RiskFilter
from hf_hardneg.filters.score import ScoreFilter
from hf_hardneg.filters.semi_hard import SemiHardFilter

__all__ = [
    "AnswerFilter",
    "ConsistencyFilter",
    "CrossEncoderDenoiser",
    "DiverseNegatives",
    "Diversity",
    "Filter",
    "HeldOutFilter",
    "HeldOutQueries",
    "LabelledFilter",
    "MarginFilter",
    "NearDuplicateVeto",
    "NoisyPairDetector",
    "PassageSieve",
    "RankFilter",
    "ReuseCap",
    "RiskFilter",
    "RowFilter",
    "ScoreFilter",
    "SemiHardFilter",
    "Verdict",
    "Veto",
]
