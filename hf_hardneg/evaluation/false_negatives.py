"""How many of the mined negatives are false: four ways to tell, one kind of result."""

from hf_hardneg.evaluation.hidden_positives import hidden_positive_rate
from hf_hardneg.evaluation.judge import judge_rate
from hf_hardneg.evaluation.judged import judged_rate
from hf_hardneg.evaluation.label_rate import cohens_kappa, label_rate

__all__ = ["cohens_kappa", "hidden_positive_rate", "judge_rate", "judged_rate", "label_rate"]
