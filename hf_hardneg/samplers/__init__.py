"""In which order candidates are taken: log-weights, one file each."""

from hf_hardneg.samplers.ambiguous import AmbiguousZoneSampler
from hf_hardneg.samplers.base import Sampler
from hf_hardneg.samplers.cl_drd import CLDRDSampler
from hf_hardneg.samplers.curriculum import CurriculumSampler
from hf_hardneg.samplers.distance_weighted import DistanceWeightedSampler
from hf_hardneg.samplers.importance import ImportanceSampler
from hf_hardneg.samplers.margin_bin import MarginBinSampler
from hf_hardneg.samplers.random import RandomSampler
from hf_hardneg.samplers.rank_distribution import RankDistributionSampler
from hf_hardneg.samplers.stratified import StratifiedSampler
from hf_hardneg.samplers.top import TopSampler
from hf_hardneg.samplers.triangular import TriangularSampler

__all__ = [
    "AmbiguousZoneSampler",
    "CLDRDSampler",
    "CurriculumSampler",
    "DistanceWeightedSampler",
    "ImportanceSampler",
    "MarginBinSampler",
    "RandomSampler",
    "RankDistributionSampler",
    "Sampler",
    "StratifiedSampler",
    "TopSampler",
    "TriangularSampler",
]
