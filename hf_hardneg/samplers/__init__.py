"""In which order candidates are taken: log-weights, one file each."""

from hf_hardneg.samplers.ambiguous import AmbiguousZoneSampler
from hf_hardneg.samplers.base import BoundSampler, Sampler
from hf_hardneg.samplers.distance_weighted import DistanceWeightedSampler
from hf_hardneg.samplers.importance import ImportanceSampler
from hf_hardneg.samplers.random import RandomSampler
from hf_hardneg.samplers.top import TopSampler
from hf_hardneg.samplers.triangular import TriangularSampler

__all__ = [
    "AmbiguousZoneSampler",
    "BoundSampler",
    "DistanceWeightedSampler",
    "ImportanceSampler",
    "RandomSampler",
    "Sampler",
    "TopSampler",
    "TriangularSampler",
]
