"""In which order candidates are taken: log-weights, one file each."""

from hf_hardneg.samplers.base import Sampler
from hf_hardneg.samplers.random import RandomSampler
from hf_hardneg.samplers.top import TopSampler

__all__ = ["RandomSampler", "Sampler", "TopSampler"]
