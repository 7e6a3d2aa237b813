"""When requests and sessions arrive, and when viewers steer: random moments that a seed repeats."""

from __future__ import annotations

import math
import random


def arrival_times(count: int, rate_per_s: float, burstiness: float, rng: random.Random) -> list[float]:
    """Ascending seconds at which ``count`` requests arrive, the first at 0.

    The gaps are gamma distributed with mean ``1 / rate_per_s`` and shape ``burstiness``: 1 is a Poisson process, less
    comes in bursts, more is more even. An infinite rate has all arrive at once. Raises ValueError for a rate or
    burstiness that is not positive.
    """
    if not rate_per_s > 0:
        raise ValueError(f"expected a request rate above 0 or inf, got {rate_per_s:g}")
    if not 0 < burstiness < math.inf:
        raise ValueError(f"expected a burstiness above 0, got {burstiness:g}")
    times, at_s = [], 0.0
    for _ in range(count):
        times.append(at_s)
        if rate_per_s < math.inf:
            at_s += rng.gammavariate(burstiness, 1.0 / (rate_per_s * burstiness))
    return times


def steering_times(every_s: float, until_s: float, rng: random.Random) -> list[float]:
    """Ascending seconds before ``until_s`` at which a viewer steers, every ``every_s`` on average; 0 is never."""
    times: list[float] = []
    if every_s <= 0:
        return times
    at_s = rng.expovariate(1.0 / every_s)
    while at_s < until_s:
        times.append(at_s)
        at_s += rng.expovariate(1.0 / every_s)
    return times
