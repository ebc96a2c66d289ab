"""How the networks are trained. Every number of it is here, once."""

from dataclasses import asdict, dataclass, fields
from math import cos, pi
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
class AdamW(Adam):
    """Adam with a decay of the weights that is not part of the gradient: w -= rate · decay · w.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    weight_decay: float


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; `momentum` is the fraction of the velocity that is kept.

    With `nesterov`, a step looks ahead by the momentum of the step to come.
    """

    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False


OPTIMIZERS = {each.__name__: each for each in (Adam, AdamW, SGD)}


@dataclass(frozen=True)
class Recipe:
    """An optimiser, a batch size (images) and the seed of the starting weights and the order.

    With `cosine_steps`, the learning rate falls to 0 over this number of steps, as half a cosine.
    """

    optimizer: Adam | SGD
    batch_size: int
    seed: int = 0
    cosine_steps: int = 0

    def cosine(self, step: int) -> float:
        """The share of the learning rate at a step, which is counted from 0."""
        return (1 + cos(pi * min(step / self.cosine_steps, 1))) / 2 if self.cosine_steps else 1.0

    def record(self) -> dict[str, Any]:
        """The recipe as plain numbers and strings, for messages and saved runs.

        Fields that were added later are left out if they change nothing, so that older runs have
        the same record.
        """
        numbers = asdict(self)
        numbers = numbers.pop("optimizer") | numbers | {"optimizer": type(self.optimizer).__name__}
        return {key: numbers[key] for key in numbers if numbers[key] or key not in ADDED}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Recipe":
        """The inverse of `record`."""
        of = OPTIMIZERS[record["optimizer"]]
        optimizer, rest = (
            {field.name: record[field.name] for field in fields(each) if field.name in record}
            for each in (of, cls)
        )
        return cls(**rest | {"optimizer": of(**optimizer)})


# What can be left to a framework's own defaults when a network learns.
OWN = ("initialisers", "layers", "optimizer")

ADDED = ("cosine_steps", "nesterov")

BATCH_SIZE = 128

DEFAULT = Recipe(Adam(learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7), BATCH_SIZE)

# Values that float32 holds exactly. Keras rounds Python floats to float32 on their way into a
# float64 graph, which would make equal implementations differ by 1e-7.
DYADIC_ADAM = Adam(learning_rate=2**-10, beta_1=0.875, beta_2=1 - 2**-10, epsilon=2**-23)
DYADIC_ADAMW = AdamW(**asdict(DYADIC_ADAM), weight_decay=2**-8)
DYADIC_MOMENTUM = SGD(learning_rate=2**-10, momentum=0.875)
DYADIC_NESTEROV = SGD(learning_rate=2**-10, momentum=0.875, nesterov=True)
# One step shows the gradient: displacement = -rate · gradient. The rate is large so that float32
# weights do not round the gradient away.
DYADIC_SGD = SGD(learning_rate=2.0**10)
