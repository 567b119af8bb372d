#!/usr/bin/env python3
"""Instructions that the gateway executes per chat, counted by callgrind, for two binaries side by side.

Usage: instructions.py --old PATH --new PATH [--pairs N] [--chats N]

For each count the gateway runs under callgrind in front of `duogate sim`, and one client makes sequential chats
through the HTTP door, whole and streamed by turns. The runs of a pair, a short and a long one, differ only in their
number of chats, so the start, loading the vocabulary and the end cancel out in the difference. The binaries alternate.
All threads are counted, but not the kernel. Prints a Markdown table.
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


def chat(connection, number):
    body = {"model": "any", "messages": [{"role": "user", "content": QUESTION}], "stream": number % 2 == 1}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {
        "Authorization": f"Bearer {KEY}", "Content-Type": "application/json",
    })  # fmt: skip
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200 or (number % 2 == 1 and b"[DONE]" not in said):
        raise SystemExit(f"a chat failed: {answer.status} {said!r}")


def count(binary, chats):
    """The instructions of a gateway that serves this many chats."""
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
            serving = until(lambda: re.search(r'"serving".*?"http":"127\.0\.0\.1:(\d+)"', log.read_text()), gateway, log)
            connection = http.client.HTTPConnection("127.0.0.1", int(serving[1]), timeout=120)
            for number in range(chats):
                chat(connection, number)
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
    arguments = parser.parse_args()
    counted = {"old": [], "new": []}
    for pair in range(arguments.pairs):
        for name in ("old", "new") if pair % 2 == 0 else ("new", "old"):
            binary = str(Path(getattr(arguments, name)).resolve())
            short, long = count(binary, FIRST), count(binary, FIRST + arguments.chats)
            counted[name].append((long - short) / arguments.chats)
            print(f"{name}: {counted[name][-1]:.0f}", file=sys.stderr)
    print("| instructions a chat | smallest | middle | largest |\n| --- | --- | --- | --- |")
    for name, figures in counted.items():
        print(f"| {name} | {min(figures):,.0f} | {statistics.median(figures):,.0f} | {max(figures):,.0f} |")
    change = statistics.median(counted["new"]) / statistics.median(counted["old"]) - 1
    print(f"\nNew against old, the middle of each: {100 * change:+.2f} %")


main()
