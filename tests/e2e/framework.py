#!/usr/bin/env python3
"""Runs the checks of one framework, in the environment of the frameworks; framework_checks.py starts it.

Usage: framework.py NAME MODULE..., with what world.View wants in WORLD

Prints one `ok` or `FAIL` line per check. Only this machine can be reached.
"""

import importlib
import os
import sys

sys.dont_write_bytecode = True

from checks import REGISTERED, Report, equal  # noqa: E402
from world import View  # noqa: E402

OURS = ("127.0.0.1", "::1", "localhost", None)
strayed = []


def stay_here(event, given):
    """Blocks connections to other machines, such as a framework's telemetry."""
    if event == "socket.getaddrinfo":
        host = given[0]
    elif event == "socket.connect" and isinstance(given[1], tuple):
        host = given[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in OURS:
        strayed.append(host)
        raise OSError(f"{host} is not to be called from here")


def main():
    name, *modules = sys.argv[1:]
    world = View(os.environ["WORLD"])
    sys.addaudithook(stay_here)
    for module in modules:
        importlib.import_module(module)
    report = Report()
    for what, function in REGISTERED:
        report.run(what if what.startswith(name) else f"{name}, {what}", function, world)
    report.run(f"{name}: nothing but this machine is called", lambda _: equal(strayed, [], "calls"), world)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
