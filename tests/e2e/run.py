#!/usr/bin/env python3
"""The end-to-end checks: real servers, unmodified clients.

Usage: run.py --binary PATH --grpcurl PATH --node-packages DIR --frameworks-python PATH --examples DIR
              --rust-example PATH --tool-packages DIR --openapi-python PATH
              [--node PATH] [--chromium PATH] [--image DIR] [--only WORDS] [--keep DIR]

Prints one line per check and a summary line. The exit code is 0 if every check passed.
"""

import argparse
import faulthandler
import os
import re
import sys
import tempfile
from pathlib import Path

# No bytecode files, and no log lines of gRPC itself.
sys.dont_write_bytecode = True
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# The order in which they run: registering is a side effect of importing.
import http_checks  # noqa: E402,F401
import openai_sync  # noqa: E402,F401
import openai_async  # noqa: E402,F401
import openai_endpoints  # noqa: E402,F401
import openai_errors  # noqa: E402,F401
import openai_raw  # noqa: E402,F401
import null_checks  # noqa: E402,F401
import openapi_checks  # noqa: E402,F401
import grpc_checks  # noqa: E402,F401
import grpc_web_checks  # noqa: E402,F401
import grpc_error_checks  # noqa: E402,F401
import converse_checks  # noqa: E402,F401
import grpcurl_checks  # noqa: E402,F401
import grpcurl_page_checks  # noqa: E402,F401
import tls_checks  # noqa: E402,F401
import examples_checks  # noqa: E402,F401
import image_checks  # noqa: E402,F401
import proxy_checks  # noqa: E402,F401
import pool_checks  # noqa: E402,F401
import node_checks  # noqa: E402,F401
import compression_checks  # noqa: E402,F401
import framework_checks  # noqa: E402,F401
import lifecycle_checks  # noqa: E402,F401
from checks import REGISTERED, Report, equal, true, until  # noqa: E402
from world import Sim, World  # noqa: E402

# A run that hangs prints its stacks, and is ended.
PATIENCE = 1140
TOOLS = ("grpcurl", "node", "node_packages", "frameworks_python", "examples", "rust_example", "tool_packages",
         "openapi_python", "chromium", "image")
LOG_TAIL = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=Path)
    parser.add_argument("--grpcurl", required=True)
    parser.add_argument("--node-packages", required=True)
    parser.add_argument("--frameworks-python", required=True, help="the Python with requirements-frameworks.txt")
    parser.add_argument("--examples", required=True, help="a copy of the repository with the examples made ready")
    parser.add_argument("--rust-example", required=True, help="the built examples/chat.rs")
    parser.add_argument("--tool-packages", required=True, help="what .ci/tools/package.json names")
    parser.add_argument("--node", default="node")
    parser.add_argument("--openapi-python", help="a Python with the packages of openapi/requirements.txt")
    parser.add_argument("--chromium", help="the browser, where it is not the machine's own")
    parser.add_argument("--image", help="what .ci/image laid out; without it the image is not checked")
    parser.add_argument("--only", default="", help="only checks whose names hold these words")
    parser.add_argument("--keep", type=Path, help="an empty directory for the logs, which then stay")
    return parser.parse_args()


def at_rest(world):
    """No check has left an answer open; checked while everything runs."""
    world.sim.rest()


def gateways(world):
    return [process for process in world.processes if not isinstance(process, Sim)]


def all_end(world):
    """Every gateway exits successfully when asked to."""
    for gateway in gateways(world):
        # One that a check has stopped already returns its exit code again.
        equal(gateway.stop(), 0, f"exit code of {gateway.name}")


def tidy(world):
    """The gateways have deleted their conversations, except perhaps one whose credential was revoked for a while."""
    exempt = next((process.tokens for process in world.processes if process.name == "failover"), [])

    def left():
        held = world.sim.state()["counts"]["conversations"]
        owners = {token: process.name for process in gateways(world) for token in process.tokens}
        return {owners[token]: number for token, number in held.items() if number and token not in exempt}

    until(lambda: not left(), lambda: f"no conversation is left upstream; left by gateway: {left()}")


def no_breach(world):
    equal(world.sim.state()["breaches"], [], "breaches")


def no_secret(world):
    """No gateway's log contains a key or credential."""
    for process in gateways(world):
        log = process.output()
        true(log, f"the log of {process.name} is empty")
        found = [secret for secret in world.secrets if secret in log]
        lines = [line for line in log.splitlines() if any(secret in line for secret in found)]
        equal(lines, [], f"lines of {process.name} with a secret")


def no_panic(world):
    for process in world.processes:
        lines = re.findall(r"(?m)^.*panicked at.*$", process.output())
        equal(lines, [], f"panics of {process.name}")


ENDING = [
    ("end: no answer is left open upstream", at_rest),
    ("end: every gateway ends with 0", all_end),
    ("end: no conversation is left upstream", tidy),
    ("end: the contract with the upstream was never broken", no_breach),
    ("end: no log holds a key or a token", no_secret),
    ("end: nothing panicked", no_panic),
]


def show_logs(world):
    for process in world.processes:
        lines = process.output().splitlines()
        print(f"--- {process.name}: the last {min(LOG_TAIL, len(lines))} of {len(lines)} lines", flush=True)
        print("\n".join(lines[-LOG_TAIL:]), flush=True)


def run(options, directory):
    tools = {name: getattr(options, name) for name in TOOLS}
    report = Report()
    world = World(directory, options.binary.resolve(), tools, report)
    try:
        world.start()
        for name, function in REGISTERED:
            if options.only in name:
                report.run(name, function, world)
        for name, function in ENDING:
            report.run(name, function, world)
    except Exception as error:  # the servers failed to start
        report.tell(False, "the servers start", str(error))
    finally:
        world.stop()
        if report.failed:
            show_logs(world)
    print(f"{report.passed} passed, {report.failed} failed", flush=True)
    return 1 if report.failed or not report.passed else 0


def main():
    options = arguments()
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return run(options, options.keep)
    with tempfile.TemporaryDirectory(prefix="duogate-e2e-") as directory:
        return run(options, directory)


if __name__ == "__main__":
    code = main()
    # Exits without joining gRPC's threads.
    sys.stdout.flush()
    os._exit(code)
