"""In which order candidates are taken: log-weights, one file each."""

from hf_hardneg.samplers.base import Sampler
from hf_hardneg.samplers.cl_drd import CLDRDSampler
from hf_hardneg.samplers.curriculum import CurriculumSampler
from hf_hardneg.samplers.margin_bin import MarginBinSampler
from hf_hardneg.samplers.random import RandomSampler
from hf_hardneg.samplers.rank_distribution import RankDistributionSampler
from hf_hardneg.samplers.stratified import StratifiedSampler
from hf_hardneg.samplers.top import TopSampler

__all__ = [
    "CLDRDSampler",
    "CurriculumSampler",
    "MarginBinSampler",
    "RandomSampler",
    "RankDistributionSampler",
    "Sampler",
    "StratifiedSampler",
    "TopSampler",
]
