"""How the networks are trained: every number once, here."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba, "Adam: A Method for Stochastic Optimization" (2015), constants of section 2.

    The frameworks put epsilon in different places: PyTorch beside √v̂ (algorithm 1), Keras beside
    √v (the "epsilon hat" form that closes section 2). See docs/fairness.md.
    """

    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; `momentum` is the fraction of the velocity that is kept."""

    learning_rate: float
    momentum: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """An optimiser, a batch size (images) and the seed of the starting weights and the order."""

    optimizer: Adam | SGD
    batch_size: int
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """The recipe as plain numbers and strings, for messages and saved runs."""
        numbers = asdict(self)
        return numbers.pop("optimizer") | numbers | {"optimizer": type(self.optimizer).__name__}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Recipe":
        """The inverse of `record`."""
        optimizer = {"Adam": Adam, "SGD": SGD}[record["optimizer"]]
        numbers = {field.name: record[field.name] for field in fields(optimizer)}
        return cls(optimizer(**numbers), record["batch_size"], record["seed"])


BATCH_SIZE = 128

DEFAULT = Recipe(Adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7), BATCH_SIZE)

# Values that float32 holds exactly: Keras rounds Python floats to float32 on their way into a
# float64 graph, which would part the twins at 1e-7 for a reason that is no difference in meaning.
DYADIC_ADAM = Adam(learning_rate=2**-10, beta_1=0.875, beta_2=1 - 2**-10, epsilon=2**-23)
DYADIC_MOMENTUM = SGD(learning_rate=2**-10, momentum=0.875)
# One step shows the gradient: displacement = -rate · gradient. The rate is large so that float32
# weights do not round the gradient away.
DYADIC_SGD = SGD(learning_rate=2.0**10)
