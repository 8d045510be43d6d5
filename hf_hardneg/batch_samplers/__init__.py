"""Which rows of training data come together in a batch, one way a file."""

from hf_hardneg.batch_samplers.base import EpochBatchSampler
from hf_hardneg.batch_samplers.conflict_free import ConflictFreeBatchSampler
from hf_hardneg.batch_samplers.topic_aware import TopicAwareBatchSampler

__all__ = ["ConflictFreeBatchSampler", "EpochBatchSampler", "TopicAwareBatchSampler"]
