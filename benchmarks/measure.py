"""Measure one contender in a separate process: `python -m benchmarks.measure MODULE FUNCTION SETTINGS`.

FUNCTION is called with the settings (JSON) and returns a function without arguments that measures. Between the two
calls the process prints "ready" and waits for a line, so that processes that are measured in parallel begin together.
"""

import importlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

SECONDS = 3.0
LONG = 8.0


def rate(action: Callable[[], Any], per_call: float, seconds: float = SECONDS) -> float:
    """Rate per second of something of which a call of `action` does `per_call`, over at least `seconds`."""
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        action()
        count += 1
    return count * per_call / passed


def seconds_of(action: Callable[[], Any], seconds: float = 1.0) -> float:
    """Median duration of a call, over as many calls as fill `seconds`. The first call, which may import modules, counts
    only if it takes so long that this does not matter."""
    began = time.perf_counter()
    action()
    first = time.perf_counter() - began
    times = [first] if first > LONG else []
    while sum(times) < seconds:
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    module, function, settings = sys.argv[1:]
    measured = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(settings))
    print("ready", flush=True)
    sys.stdin.readline()
    found = measured()
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
