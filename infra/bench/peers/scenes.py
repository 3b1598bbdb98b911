"""Contenders, scenes and goals of the comparison."""

from dataclasses import dataclass
from typing import Literal

LIMIT, ONE, AIO_PIKA, PY_AMQP, AMQPLIB, SHOVEL, PUBLISHER, HANDLER = (
    "limit", "one_at_a_time", "aio_pika_gathered", "py_amqp", "amqplib", "shovel", "publisher", "handler",
)  # fmt: skip
CONTENDERS = {
    LIMIT: "limit",
    ONE: "pika, one at a time",
    AIO_PIKA: "aio-pika, gathered",
    PY_AMQP: "py-amqp, pipelined",
    AMQPLIB: "Node.js amqplib",
    SHOVEL: "RabbitMQ shovel",
    PUBLISHER: "our publisher",
    HANDLER: "our handler",
}
"""Names by the module in ``contenders``."""
OURS = (PUBLISHER, HANDLER)

Place = Literal["near", "20 ms", "80 ms", "TLS"]
ROUND_TRIPS: dict[Place, float] = {"near": 0.0, "20 ms": 0.02, "80 ms": 0.08, "TLS": 0.0}
"""Seconds that a proxy adds to each round trip."""


@dataclass(frozen=True)
class Scene:
    """A size of batches at a place. ``batches``: the number that one round measures."""

    name: str
    place: Place
    batch: int
    batches: int

    def plan(self, contender: str) -> tuple[int, int]:
        """Return the batch and the number of batches of a round.

        The rate of one publish at a time does not depend on the batch, and a whole one would take too long.
        """
        if contender != ONE:
            return self.batch, self.batches
        return min(self.batch, 10), 1 if ROUND_TRIPS[self.place] else 20


SCENES = (
    Scene("10 near", "near", 10, 40),
    Scene("100 near", "near", 100, 10),
    Scene("1,000 near", "near", 1000, 3),
    Scene("10 at 20 ms", "20 ms", 10, 5),
    Scene("100 at 80 ms", "80 ms", 100, 2),
    Scene("100 with TLS", "TLS", 100, 10),
)
DEVICES = max(scene.batch for scene in SCENES)


@dataclass(frozen=True)
class Goal:
    """A ratio that a contender must reach: to the limit, or to another contender."""

    contender: str
    scene: str
    minimum: float
    of: str = LIMIT


@dataclass(frozen=True)
class ProcessorGoal:
    """The maximum of own CPU per message, in microseconds."""

    contender: str
    scene: str
    maximum: float


_NEAR = ("10 near", "100 near", "1,000 near")
_LARGE = _NEAR[1:]
_FAR = ("10 at 20 ms", "100 at 80 ms")
GOALS = (
    *(Goal(PUBLISHER, scene, 0.85) for scene in _NEAR),
    Goal(HANDLER, "10 near", 0.65),
    *(Goal(HANDLER, scene, 0.85) for scene in _LARGE),
    *(Goal(HANDLER, scene, 0.95) for scene in _FAR),
    *(Goal(ours, scene.name, 1.0, of) for ours in OURS for of in (ONE, AIO_PIKA, PY_AMQP, SHOVEL) for scene in SCENES),
    *(Goal(PUBLISHER, scene.name, 0.95, AMQPLIB) for scene in SCENES),
    *(Goal(HANDLER, scene, 0.9, AMQPLIB) for scene in _LARGE),
    *(Goal(ours, "10 near", 3.0, ONE) for ours in OURS),
    *(Goal(ours, "10 at 20 ms", 8.0, ONE) for ours in OURS),
)
PROCESSOR_GOALS = tuple(ProcessorGoal(HANDLER, scene, 45.0) for scene in _LARGE)
