"""Streams through a compressing proxy."""

import http.client
import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

from checks import check, equal, true
from world import clean_environment

SCRIPT = Path(__file__).with_name("compressing_proxy.mjs")
STREAMS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "one two"}]},
    "/v1/completions": {"prompt": "one two"},
    "/v1/responses": {"input": "one two"},
}


@contextmanager
def proxy(world, address):
    """The address of a proxy in front of `address`."""
    environment = clean_environment({"NODE_PACKAGES": world.tools["node_packages"]})
    command = [world.tools["node"], SCRIPT, address]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@contextmanager
def asked(address, method, path, key, body=None):
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        headers = {"authorization": f"Bearer {key}", "accept-encoding": "gzip", "content-type": "application/json"}
        connection.request(method, path, body=body and json.dumps(body), headers=headers)
        yield connection.getresponse()
    finally:
        connection.close()


@check("proxies: a stream's first words pass a proxy that compresses while the rest is not there yet")
def first_words(world):
    gateway = world.any
    with proxy(world, gateway.http) as address:
        with asked(address, "GET", "/openapi.json", gateway.key) as answer:
            equal(answer.headers["content-encoding"], "gzip", "the proxy compresses what it may")
            answer.read()
        for path, body in STREAMS.items():
            world.sim.post("hold", at="after_first_piece")
            try:
                with asked(address, "POST", path, gateway.key, body | {"model": "any", "stream": True}) as answer:
                    equal(answer.status, 200, path)
                    read = b""
                    # If the proxy buffered, the read would time out, since the upstream holds the rest.
                    while b"You " not in read:
                        line = answer.readline()
                        true(line, f"{path}: it ended after {read!r}")
                        read += line
                    world.sim.post("release")
                    read += answer.read()
                    true(b"two" in read, f"{path}: {read!r}")
            finally:
                world.sim.post("release")
