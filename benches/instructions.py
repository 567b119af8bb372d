#!/usr/bin/env python3
"""Instructions that the gateway executes per chat, counted by callgrind, for two binaries side by side.

Usage: instructions.py --old PATH --new PATH [--pairs N] [--chats N] [--only SCENARIO]

For each count the gateway runs under callgrind in front of `duogate sim`, and one client makes sequential chats of one
scenario: whole or streamed through the HTTP door, streamed with stop texts and a token limit, whole or streamed through
the gRPC door (by gRPC-Web, over HTTP/1.1). The two runs of a count, a short and a long one, differ only in their number
of chats, so the start, loading the vocabulary and the end cancel out in the difference. The binaries alternate. All
threads are counted, but not the kernel. Prints a Markdown table.
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
from pathlib import Path

KEY, TOKEN = "sk-duogate-demo", "demo-token-1"
FIRST = 50
QUESTION = " ".join(["word"] * 40)


def until(condition, process, log):
    """Waits for a condition while the process runs."""
    began = time.monotonic()
    while time.monotonic() < began + 120:
        found = condition()
        if found:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"it did not start:\n{log.read_text()}")


def start(command, directory, settings, name):
    log = Path(directory, name)
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=directory, env={"PATH": os.environ["PATH"]} | settings,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)  # fmt: skip
    return process, log


def over_http(**fields):
    """A chat through the HTTP door."""
    body = {"model": "any", "messages": [{"role": "user", "content": QUESTION}], **fields}
    end = b"[DONE]" if body.get("stream") else b"finish_reason"

    def chat(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {
            "Authorization": f"Bearer {KEY}", "Content-Type": "application/json",
        })  # fmt: skip
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200 or end not in said:
            raise SystemExit(f"a chat failed: {answer.status} {said!r}")

    return "http", chat


def field(number, content):
    """A length-delimited field of protobuf."""
    length, encoded = len(content), b""
    while length > 0x7F:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


def over_grpc(method):
    """A chat through the gRPC door."""
    user = bytes([1 << 3, 3])
    message = user + field(2, field(1, QUESTION.encode()))
    request = field(1, b"any") + field(2, message)
    framed = b"\0" + len(request).to_bytes(4) + request

    def chat(connection):
        connection.request("POST", f"/duogate.v1.ChatService/{method}", framed, {
            "Authorization": f"Bearer {KEY}", "Content-Type": "application/grpc-web+proto",
        })  # fmt: skip
        answer = connection.getresponse()
        said = answer.read()
        if b"grpc-status:0" not in said.replace(b" ", b""):
            raise SystemExit(f"a chat failed: {answer.status} {answer.headers} {said!r}")

    return "grpc", chat


SCENARIOS = {
    "HTTP, whole": over_http(),
    "HTTP, streamed": over_http(stream=True),
    "HTTP, streamed with limits": over_http(stream=True, stop=["nowhere", "never"], max_tokens=1000),
    "gRPC, whole": over_grpc("CreateChatCompletion"),
    "gRPC, streamed": over_grpc("StreamChatCompletion"),
}


def count(binary, scenario, chats):
    """The instructions of a gateway that serves this many chats of a scenario."""
    door, chat = SCENARIOS[scenario]
    with tempfile.TemporaryDirectory() as directory:
        sim, said = start([binary, "sim", "--port", "0", "--token", TOKEN], directory, {}, "sim.log")
        until(lambda: "TOKEN_POOL=" in said.read_text(), sim, said)
        names = "PROJECT_API_URL|CONVERSATION_API_URL|MESSAGE_API_URL|TARGET_API_URL|SITE_URL"
        settings = dict(re.findall(rf"\b({names})=(\S+)", said.read_text())) | {
            "HOST": "127.0.0.1", "PORT": "0", "GRPC_PORT": "0", "WORKERS": "1", "LOG_FORMAT": "json",
            "API_KEYS": json.dumps([KEY]), "TOKEN_POOL": json.dumps([TOKEN]),
        }  # fmt: skip
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, "serve"]
        gateway, log = start(command, directory, settings, "serve.log")
        try:
            address = rf'"serving".*?"{door}":"127\.0\.0\.1:(\d+)"'
            serving = until(lambda: re.search(address, log.read_text()), gateway, log)
            connection = http.client.HTTPConnection("127.0.0.1", int(serving[1]), timeout=120)
            for _ in range(chats):
                chat(connection)
            connection.close()
        finally:
            gateway.terminate()
            gateway.wait(120)
            sim.terminate()
            sim.wait(60)
        text = log.read_text()
        lines = text.count('"request ended"')
        if lines != chats:
            raise SystemExit(f"{lines} access lines for {chats} chats")
        return int(re.search(r"Collected : (\d+)", text)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True)
    parser.add_argument("--new", required=True)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--chats", type=int, default=400)
    parser.add_argument("--only", choices=SCENARIOS)
    arguments = parser.parse_args()
    print("| instructions a chat | old: smallest, middle, largest | new | new against old |\n| --- | --- | --- | --- |")
    for scenario in SCENARIOS if arguments.only is None else [arguments.only]:
        compare(scenario, arguments)


def compare(scenario, arguments):
    counted = {"old": [], "new": []}
    for pair in range(arguments.pairs):
        for name in ("old", "new") if pair % 2 == 0 else ("new", "old"):
            binary = str(Path(getattr(arguments, name)).resolve())
            short, long = (count(binary, scenario, chats) for chats in (FIRST, FIRST + arguments.chats))
            counted[name].append((long - short) / arguments.chats)
            print(f"{scenario}, {name}: {counted[name][-1]:.0f}", file=sys.stderr)
    old, new = (
        f"{min(figures):,.0f}, {statistics.median(figures):,.0f}, {max(figures):,.0f}" for figures in counted.values()
    )
    change = statistics.median(counted["new"]) / statistics.median(counted["old"]) - 1
    print(f"| {scenario} | {old} | {new} | {100 * change:+.2f} % |", flush=True)


if __name__ == "__main__":
    main()
