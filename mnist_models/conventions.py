"""Formulas that differ between the frameworks, for the same quantity.

An implementation names its own as CONVENTIONS, and the reference computes by them.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Conventions:
    """The formulas of an implementation, by default the textbook's.

    `adam_epsilon` is "plain" or "hat": Kingma and Ba, "Adam" (2015), algorithm 1 or the end of
    section 2. `running_variance` is "biased" or "unbiased": Ioffe and Szegedy, "Batch
    Normalization" (2015), move the unbiased one in algorithm 2. `sqrt_half` and `gelu_cubic` are
    the constants of GELU's two forms: Hendrycks and Gimpel, "Gaussian Error Linear Units" (2016).
    `velocity` is what momentum adds up: "steps", which include the learning rate of their time, as
    in Sutskever et al., "On the Importance of Initialization and Momentum" (2013), or "gradients".
    Both are equal while the learning rate is constant. `rough_statistics` means that means and
    variances of a batch are accurate to only about 1e-3 in float32, because many thousands of terms
    are added one by one.
    """

    adam_epsilon: str = "plain"
    running_variance: str = "biased"
    sqrt_half: float = sqrt(0.5)
    gelu_cubic: float = 0.044715
    velocity: str = "steps"
    rough_statistics: bool = False


TEXTBOOK = Conventions()
