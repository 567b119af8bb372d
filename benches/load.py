#!/usr/bin/env python3
"""Load test of both doors of one gateway with the same chat: h2load through both, ghz through gRPC.

Usage: load.py --binary PATH [--ghz PATH] [--h2load PATH] [--runs N] [--chats N] [--smoke | --write]

Starts `duogate sim` and `duogate serve` as separate processes on free loopback ports, and runs the profiles in ghz/.
The loads alternate, so that a busy moment of the machine affects them all. Prints Markdown tables with the minimum,
median and maximum of the runs; with --write they go into docs/performance.md. With --smoke only a few hundred chats
run through the gRPC door, which must all succeed, and nothing is measured.
"""

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KEY, TOKENS = "sk-duogate-demo", ["demo-token-1", "demo-token-2", "demo-token-3"]
PROFILES = {name: json.loads((ROOT / "benches" / "ghz" / f"{name}.json").read_text()) for name in ("unary", "stream")}
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
QUIET = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A running program and its resource usage."""

    def __init__(self, command, directory, settings):
        environment = {"PATH": os.environ["PATH"]} | settings
        self.log = Path(directory, f"{command[1]}.log")
        self.began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)  # fmt: skip

    def wait_for(self, pattern):
        while time.monotonic() < self.began + 30:
            found = re.search(pattern, self.log.read_text())
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.001)
        raise SystemExit(f"it did not start:\n{self.log.read_text()}")

    def seconds(self):
        """CPU time so far, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, name="VmRSS"):
        """A memory value in MB: VmRSS is the current one, VmHWM the peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1000

    def stop(self):
        self.process.terminate()
        self.process.wait(40)


class House:
    """The simulated upstream, and a gateway in front of it."""

    def __init__(self, binary, directory):
        tokens = [argument for token in TOKENS for argument in ("--token", token)]
        self.sim = Process([binary, "sim", "--port", "0", *tokens], directory, {})
        self.sim.wait_for(r"TOKEN_POOL=.*\n")
        said = self.sim.log.read_text()
        names = "PROJECT_API_URL|CONVERSATION_API_URL|MESSAGE_API_URL|TARGET_API_URL|SITE_URL"
        self.upstream = dict(re.findall(rf"\b({names})=(\S+)", said))
        settings = self.upstream | {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "GRPC_PORT": "0",
            "API_KEYS": json.dumps([KEY]),
            "TOKEN_POOL": json.dumps(TOKENS),
            "LOG_LEVEL": "warn",
        }
        self.gateway = Process([binary, "serve"], directory, settings | {"LOG_LEVEL": "warn,duogate::cli=info"})
        found = self.gateway.wait_for(r"\bhttp=(127\.0\.0\.1:\d+) grpc=(127\.0\.0\.1:\d+)")
        self.started = time.monotonic() - self.gateway.began
        self.http, self.grpc = found.groups()

    def good(self, door):
        """Successful chats according to the gateway's metrics."""
        connection = http.client.HTTPConnection(self.http)
        connection.request("GET", "/metrics", headers={"x-api-key": KEY})
        text = connection.getresponse().read().decode()
        lines = re.findall(r"(?m)^duogate_requests_total\{(.*)\} (\d+)$", text)
        return sum(int(count) for labels, count in lines if f'door="{door}"' in labels and 'outcome="ok"' in labels)

    def stop(self):
        self.gateway.stop()
        self.sim.stop()


def ghz(options, house, kind, chats):
    """One load on the gRPC door: chats per second, and the median and 99th percentile in milliseconds."""
    profile = ROOT / "benches" / "ghz" / f"{kind}.json"
    command = [options.ghz, "--config", profile, "--total", str(chats), "--format", "json", house.grpc]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"ghz ended with {done.returncode}: {done.stderr.strip() or done.stdout[-2000:]}")
    told = json.loads(done.stdout)
    if told["statusCodeDistribution"] != {"OK": chats}:
        raise SystemExit(f"not every chat was good: {told['statusCodeDistribution']} {told['errorDistribution']}")
    times = {row["percentage"]: row["latency"] / 1e6 for row in told["latencyDistribution"]}
    return told["rps"], times[50], times[99]


def framed(model, text):
    """The profiles' question as a gRPC message: its length, then fields by their numbers in the contract."""

    def field(number, content):
        length, rest = bytearray(), len(content)
        while rest > 0x7F:
            length.append(rest & 0x7F | 0x80)
            rest >>= 7
        return bytes([number << 3 | 2, *length, rest]) + content

    role_user = bytes([1 << 3, 3])
    message = role_user + field(2, field(1, text.encode()))
    request = field(1, model.encode()) + field(2, message)
    return b"\0" + len(request).to_bytes(4, "big") + request


def http_call(house, kind, model, text):
    """The URL, headers and body of a chat through the HTTP door."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": kind == "stream"}
    return f"http://{house.http}/v1/chat/completions", ["content-type: application/json"], json.dumps(body).encode()


def grpc_call(house, kind, model, text):
    """The same through the gRPC door."""
    method = {"unary": "CreateChatCompletion", "stream": "StreamChatCompletion"}[kind]
    url = f"http://{house.grpc}/duogate.v1.ChatService/{method}"
    return url, ["content-type: application/grpc", "te: trailers"], framed(model, text)


def h2load(options, house, kind, chats, call):
    """The same load with h2load, which counts bytes and parses no message, on the same number of HTTP/2 connections."""
    profile = PROFILES[kind]
    text = profile["data"]["messages"][0]["content"][0]["text"]
    url, headers, body = call(house, kind, profile["data"]["model"], text)
    headers = [part for header in [*headers, f"authorization: Bearer {KEY}"] for part in ("--header", header)]
    with tempfile.TemporaryDirectory() as directory:
        data, log = Path(directory, "body"), Path(directory, "log")
        data.write_bytes(body)
        streams = profile["concurrency"] // profile["connections"]
        command = [options.h2load, "--requests", str(chats), "--clients", str(profile["connections"]), "--max-concurrent-streams",
                   str(streams), "--data", data, "--log-file", log, *headers, url]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    if len(rows) != chats or any(row[1] != "200" for row in rows):
        raise SystemExit(f"not every chat was good:\n{done.stdout}")
    times = sorted(int(row[2]) / 1000 for row in rows)
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)[1])
    return rate, times[chats // 2], times[chats * 99 // 100]


WAYS = {
    "gRPC by ghz": ("grpc", ghz),
    "gRPC by h2load": ("grpc", partial(h2load, call=grpc_call)),
    "HTTP by h2load": ("http", partial(h2load, call=http_call)),
}
LOADS = [(way, kind) for kind in PROFILES for way in WAYS]


def load(options, house, name, chats):
    """One run of a load: its results, and the CPU time per chat of gateway and upstream."""
    way, kind = name
    door, drive = WAYS[way]
    before = house.good(door), house.gateway.seconds(), house.sim.seconds()
    figures = drive(options, house, kind, chats)
    gateway, sim = house.gateway.seconds() - before[1], house.sim.seconds() - before[2]
    good = house.good(door) - before[0]
    if good != chats:
        raise SystemExit(f"{name}: the gateway counts {good} good chats of {chats}")
    return *figures, gateway / chats * 1000, sim / chats * 1000


def timed(connection, method, path, body, headers):
    """The response to a call, and the milliseconds until its last byte."""
    began = time.perf_counter()
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers | ({} if body is None else {"content-type": "application/json"}))
    response = connection.getresponse()
    text = response.read()
    took = (time.perf_counter() - began) * 1000
    if response.status not in (200, 201):
        raise SystemExit(f"{method} {path}: {response.status} {text[:200]}")
    return text, took


def alone(house, chats):
    """Sequential chats: milliseconds through the gateway, and of its two upstream calls per chat made directly."""
    through, direct = http.client.HTTPConnection(house.http), http.client.HTTPConnection(house.upstream["TARGET_API_URL"].split("/")[2])
    site, cookie = house.upstream["SITE_URL"], {"cookie": f"token={TOKENS[0]}"}
    origin = cookie | {"origin": site}
    text = PROFILES["unary"]["data"]["messages"][0]["content"][0]["text"]
    body = {"model": "any", "messages": [{"role": "user", "content": text}]}
    project = json.loads(timed(direct, "POST", "/project", {"name": "11111111-1111-4111-8111-111111111111"}, origin)[0])["id"]
    figures = []
    for _ in range(chats):
        _, over = timed(through, "POST", "/v1/chat/completions", body, {"authorization": f"Bearer {KEY}"})
        referer = origin | {"referer": f"{site}/project/{project}"}
        made = json.loads(timed(direct, "POST", "/conversation", {"projectId": project}, referer)[0])
        conversation = made.get("id") or made.get("conversationId") or made.get("conversation_id")
        referer = origin | {"referer": f"{site}/project/{project}/conversation/{conversation}"}
        _, message = timed(direct, "POST", f"/conversation/{conversation}/message", {"content": text, "role": "user"}, referer)
        _, answer = timed(direct, "POST", "/chat", {"conversationId": conversation, "mode": "any"}, referer)
        timed(direct, "DELETE", f"/conversation/{conversation}", None, origin | {"referer": f"{site}/"})
        figures.append((over, message + answer))
    return [statistics.median(column) for column in zip(*figures)]


def spread(values, digits):
    """Minimum, median and maximum."""
    return " / ".join(f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))


def measure(options, directory):
    before = os.getloadavg()[0]
    busy = f"the machine's load average before it was {before:.1f}"
    if before > QUIET:
        busy = f"**{busy}: it was busy with other work, so these figures are too bad**"
    starts, rests = [], []
    for number in range(options.runs):
        place = Path(directory, str(number))
        place.mkdir()
        house = House(options.binary, place)
        starts.append(house.started * 1000)
        time.sleep(1)
        rests.append(house.gateway.memory())
        house.stop()
    place = Path(directory, "load")
    place.mkdir()
    house = House(options.binary, place)
    figures = {name: [] for name in LOADS}
    for name in LOADS:
        load(options, house, name, options.chats // 4)  # warm
    for _ in range(options.runs):
        for name in LOADS:
            figures[name].append(load(options, house, name, options.chats))
    after, most = house.gateway.memory(), house.gateway.memory("VmHWM")
    pairs = [alone(house, 200) for _ in range(options.runs)]
    house.stop()
    return [
        f"{machine()}; {version(options)}; {options.runs} runs of {options.chats} chats each; {busy}.",
        "",
        "| load | chats/s | half within, ms | 99 % within, ms | gateway, CPU ms a chat | upstream, CPU ms a chat |",
        "| --- | --- | --- | --- | --- | --- |",
        *(row(f"{kind}, {way}", zip(zip(*runs), (0, 1, 1, 2, 2))) for (way, kind), runs in figures.items()),
        "",
        "| one chat at a time, median | ms |",
        "| --- | --- |",
        *alone_rows(pairs),
        "",
        "| the process | |",
        "| --- | --- |",
        row("from start to serving, ms", [(starts, 0)]),
        row("memory at rest, MB", [(rests, 1)]),
        f"| memory after all that, and the most of it, MB | {after:.1f}, {most:.1f} |",
    ]


def row(name, columns):
    return f"| {name} | " + " | ".join(spread(values, digits) for values, digits in columns) + " |"


def alone_rows(pairs):
    through, direct = zip(*pairs)
    added = [over - under for over, under in pairs]
    yield row("through the gateway", [(through, 2)])
    yield row("the two calls of the upstream alone", [(direct, 2)])
    yield row("added", [(added, 2)])


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else 'an unknown kind'}"


def version(options):
    """The versions of the measured programs and the tools; ghz does not know its own."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    h2load = subprocess.run([options.h2load, "--version"], capture_output=True, text=True).stdout.split()[-1]
    return f"commit {commit}, h2load {h2load.removeprefix('nghttp2/')}"


def tell(options, lines):
    """Prints the results, and writes them into the page if asked to."""
    print("\n".join(lines))
    if options.write:
        page = PAGE.read_text()
        before, rest = page.split(BEGIN)
        _, after = rest.split(END)
        PAGE.write_text("\n".join([f"{before}{BEGIN}", "", *lines, "", f"{END}{after}"]))


def smoke(options, directory):
    house = House(options.binary, directory)
    try:
        for name in LOADS:
            way, kind = name
            if way == "gRPC by ghz":
                load(options, house, name, options.chats)
                print(f"{kind}: {options.chats} chats, all good")
    finally:
        house.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--ghz", default="ghz")
    parser.add_argument("--h2load", default="h2load")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--chats", type=int, default=4000)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duogate-load-") as directory:
        if options.smoke:
            smoke(options, directory)
        else:
            tell(options, measure(options, directory))


if __name__ == "__main__":
    sys.exit(main())
