"""A list of named checks, and the loop that runs them.

A check is a function that takes the world (see world.py) and raises when something is wrong. Its name is a sentence,
and its result is one line.
"""

import asyncio
import inspect
import time
import traceback
from contextlib import contextmanager

REGISTERED = []


class Skip(Exception):
    """Raised by a check that cannot run on this machine."""


def check(name):
    """Registers a function, sync or async, under a name."""

    def register(function):
        REGISTERED.append((name, function))
        return function

    return register


class Report:
    """The results of the checks."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def tell(self, ok, name, detail=""):
        if ok:
            self.passed += 1
            print(f"ok {name}", flush=True)
            return
        self.failed += 1
        print(f"FAIL {name}", flush=True)
        for line in detail.rstrip().splitlines():
            print(f"     {line}", flush=True)

    def run(self, name, function, world):
        try:
            result = function(world)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except Exception as error:  # any error fails only this check
            self.tell(False, name, detail(error))
        else:
            self.tell(True, name)

    def relay(self, output):
        """Counts the `ok` and `FAIL` lines of a script of another language and prints them."""
        for line in output.splitlines():
            if line.startswith("ok "):
                self.tell(True, line[3:])
            elif line.startswith("FAIL "):
                self.tell(False, line[5:])
            else:
                print(f"     {line}", flush=True)


def detail(error):
    """The error and its place: the message, then the innermost lines within the checks."""
    kind = type(error).__name__
    here = [frame for frame in traceback.extract_tb(error.__traceback__) if "/e2e/" in frame.filename]
    places = [f"at {frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}: {frame.line}" for frame in here[-3:]]
    return "\n".join([f"{kind}: {error}", *places])


def equal(found, wanted, what="value"):
    if found != wanted:
        raise AssertionError(f"{what}: wanted {wanted!r}, found {found!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


@contextmanager
def raises(kind, exactly=True):
    """Provides the error that the block must raise as `.error`; exactly of this class, or also of a subclass."""

    class Caught:
        error = None

    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    if caught.error is None:
        raise AssertionError(f"{kind.__name__} was not raised")
    if exactly and type(caught.error) is not kind:
        raise AssertionError(f"wanted {kind.__name__} itself, found {caught.error!r}")


def until(look, what, seconds=10.0):
    """Polls until `look` returns something true, and returns that. `what` may be a function that describes the current
    state."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.02)
