"""Prints what was tried in the form that tests/tools/run counts, see there."""

import sys
import time
import traceback


class Skip(Exception):
    """The cluster does not serve what this takes; the text says what."""


_count = 0


def check(what):
    """Runs the decorated function at once, and says how it ended."""

    def run(function):
        global _count
        _count += 1
        try:
            function()
            print(f"ok - {what}", flush=True)
        except Skip as why:
            print(f"ok - {what} # SKIP {why}", flush=True)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            first = (str(error) or type(error).__name__).strip().replace("\n", " ")
            print(f"not ok - {what}: {first[:400]}", flush=True)
        return function

    return run


def done():
    print(f"1..{_count}", flush=True)


def until(what, look, seconds=20):
    """Waits until `look` gives something, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.05)


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")
