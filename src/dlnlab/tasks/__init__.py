"""What is to be learned: a target map, samples, a part of a matrix, or any convex cost."""

from dlnlab.tasks import completion, costs, samples, whitened
from dlnlab.tasks.completion import Completion, low_rank, observed
from dlnlab.tasks.costs import Convex, convex, huber, logistic
from dlnlab.tasks.laws import KURTOSIS, Law
from dlnlab.tasks.samples import Samples, teacher_samples
from dlnlab.tasks.whitened import Whitened, require_whitened

Task = Whitened | Samples | Completion | Convex

EXAMPLES: tuple[Task, ...] = (
    *whitened.EXAMPLES,
    *samples.EXAMPLES,
    *completion.EXAMPLES,
    *costs.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "KURTOSIS",
    "Completion",
    "Convex",
    "Law",
    "Samples",
    "Task",
    "Whitened",
    "convex",
    "huber",
    "logistic",
    "low_rank",
    "observed",
    "require_whitened",
    "teacher_samples",
]
