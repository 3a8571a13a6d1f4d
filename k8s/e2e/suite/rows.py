"""How a row is written down and run: a function, its promise in its first line, a verdict line when it is over."""

import time
import traceback

from .stage import Failure

ROWS = []


def row(function):
    """Its first line says what it shows; what it returns is told beside the verdict."""
    ROWS.append(function)
    return function


def run_all(world, wanted):
    """Each row goes on from where the one before stopped. Gives how many failed."""
    failed = 0
    for function in ROWS:
        if wanted and function.__name__ not in wanted:
            continue
        began = time.monotonic()
        says = function.__doc__.strip().splitlines()[0]
        try:
            note = function(world)
            verdict = "ok     "
        except Failure as failure:
            note, verdict = str(failure), "FAILED "
        except Exception:  # a fault of the suite itself is one too, and must not hide the other rows
            note, verdict = traceback.format_exc(), "FAILED "
        failed += verdict == "FAILED "
        print(f"{verdict} {function.__name__}: {says} [{time.monotonic() - began:.0f} s]", flush=True)
        if note:
            print(f"        {note}", flush=True)
        if verdict == "FAILED ":
            world.explain()
    return failed
