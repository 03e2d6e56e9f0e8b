"""One raised alarm, as its retained message tells it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import dacite


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What was beyond which limit, since when; times are epoch ms, `before` the readings up to the one that did it."""

    rule: str
    sensor: str | None = None
    quantity: str | None = None
    unit: str | None = None
    limit: float | None = None
    value: float | None = None
    since: int
    raised: int
    acknowledged: int | None = None
    before: tuple[tuple[int, float], ...] = ()

    def payload(self) -> bytes:
        """The message."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read the message.

        Raises:
            ValueError: it is none of ours.
        """
        try:
            content: Any = json.loads(payload)
            before = tuple((int(time), float(value)) for time, value in content.pop("before", ()))
            return dacite.from_dict(cls, content | {"before": before}, dacite.Config(strict=True))
        except (dacite.DaciteError, AttributeError, TypeError) as error:
            raise ValueError(f"no alarm: {type(error).__name__}") from None
