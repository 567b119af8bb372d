"""The clients in examples/: the commands in their README, and their handling of failures."""

import os
import re
import signal
import subprocess
from pathlib import Path

from checks import check, equal, true, until
from grpc_door import Door, request
from http_checks import ask
from world import CLOSED, clean_environment

README = Path(__file__).parents[2] / "examples" / "README.md"
LANGUAGES = ("Python", "Go", "Node", "Rust")
RUST = ["cargo", "run", "--quiet", "--example", "chat", "--"]
LONGEST = 100
SOURCES = ("python/chat.py", "go/main.go", "node/chat.mjs", "chat.rs")


def sections():
    """The README's text by second-level headings."""
    parts = re.split(r"(?m)^## (.+)$", README.read_text())
    return dict(zip(parts[1::2], parts[2::2]))


def command(world, language):
    """The README's command for a language's client: the program, and its model and text arguments."""
    (line,) = re.findall(r"(?ms)^```sh run\n(.+?)\n```$", sections()[language])
    program, model, text = re.fullmatch(r'(.+?) "([^"]+)" "([^"]+)"', line).groups()
    program = program.split()
    if program == RUST:
        program = [str(world.tools["rust_example"])]
    return program, model, text


def start(world, gateway, language, *arguments):
    program, _, _ = command(world, language)
    settings = {"DUOGATE": gateway.grpc, "DUOGATE_KEY": gateway.key, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [*program, *arguments],
        cwd=world.tools["examples"],
        env=clean_environment(settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    """Waits for a client to exit: its exit code, the answer, and the failure it reported."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def run(world, gateway, language, *arguments):
    return ended(start(world, gateway, language, *arguments))


def failed(told, status, *words):
    """Checks that the client failed with this status, in any library's spelling, and reported these words."""
    code, _, err = told
    equal(code, 1, f"exit code, with {err!r}")
    spelled = err.split(":")[0].replace("_", "").upper().replace("CANCELED", "CANCELLED")
    equal(spelled, status.replace("_", ""), f"status in {err!r}")
    for word in words:
        true(re.search(word, err), f"no {word!r} in {err!r}")


def outcomes(gateway, outcome):
    """Number of chats with this outcome."""
    text = ask(gateway.http, "GET", "/metrics", x_api_key=gateway.key).text
    lines = re.findall(r"(?m)^duogate_requests_total\{(.*)\} (\d+)$", text)
    return sum(int(count) for labels, count in lines if f'outcome="{outcome}"' in labels)


def each(examine):
    """Runs `examine` for every language's client, and names the language in a failure."""
    for language in LANGUAGES:
        try:
            examine(language)
        except Exception as error:
            raise AssertionError(f"{language}: {error}") from error


@check("examples: the README has a line for each client, and each is one file of less than 100 lines")
def lines(world):
    told = {name for name, text in sections().items() if "```sh run" in text}
    equal(told, set(LANGUAGES), "languages")
    for source in SOURCES:
        count = len((README.parent / source).read_text().splitlines())
        true(20 < count < LONGEST, f"{source} has {count} lines")


@check("examples: every client streams an answer, as its README says it")
def stream(world):
    def examine(language):
        _, model, text = command(world, language)
        code, out, err = run(world, world.any, language, model, text)
        equal((code, out, err), (0, f"You said: {text}\n", ""), "exit code, answer, errors")

    each(examine)


@check("examples: every client waits behind signs of life, which it does not show")
def kept_alive(world):
    gateway = world.gateway("examples-silent", tokens=1, KEEPALIVE_INTERVAL="0.05")

    def examine(language):
        world.sim.post("hold", at="after_first_piece")
        process = start(world, gateway, language, "any", "I am here.")
        try:
            true(os.read(process.stdout.fileno(), 4), "the answer has begun")
            # Another client counts the keep-alive events that must have arrived meanwhile.
            with Door(gateway) as door:
                signs, call = 0, door.start("StreamChatCompletion", request("any"))
                while signs < 5:
                    signs += next(call).HasField("keep_alive")
                call.cancel()
        finally:
            world.sim.post("release")
            told = ended(process)
        # The first four bytes were read above.
        equal(told, (0, "said: I am here.\n", ""), "exit code, the rest of the answer, errors")

    each(examine)


@check("examples: a deadline that is too short is DEADLINE_EXCEEDED and closes the upstream's answer")
def deadline(world):
    def examine(language):
        told = run(world, world.any, language, "--deadline", "1.5", "fault:stall", "Too slow.")
        failed(told, "DEADLINE_EXCEEDED")
        true(told[1].startswith("You "), f"what came before: {told[1]!r}")
        world.sim.rest(CLOSED)

    each(examine)


@check("examples: cancelling, by itself or by Ctrl-C, reaches the upstream")
def cancel(world):
    def examine(language):
        failed(run(world, world.any, language, "--stop-after", "1", "fault:stall", "Enough."), "CANCELLED")
        world.sim.rest(CLOSED)
        process = start(world, world.any, language, "fault:stall", "Enough.")
        try:
            true(os.read(process.stdout.fileno(), 4), "the answer has begun")
            equal(world.sim.open(), 1, "open answers while the client listens")
            process.send_signal(signal.SIGINT)
            world.sim.rest(CLOSED)
        finally:
            told = ended(process)
        failed(told, "CANCELLED")

    each(examine)


@check("examples: bad input is told by its field")
def bad_input(world):
    def examine(language):
        told = run(world, world.any, language, "", "No model.")
        failed(told, "INVALID_ARGUMENT", "INVALID_REQUEST", r"(?m)^  field model: \w+")

    each(examine)


@check("examples: an exhausted pool is UNAVAILABLE at once, with the time to wait")
def exhausted(world):
    gateway = world.gateway("examples-limited", tokens=1)
    page = {"code": 429, "kind": "json", "retry_after": "600"}
    world.sim.post("rules", token=gateway.tokens[0], step="answer", times=1, fault={"status": page})

    def examine(language):
        before = world.sim.answers()
        told = run(world, gateway, language, "any", "Is there a token?")
        failed(told, "UNAVAILABLE", "POOL_EXHAUSTED", r"(?m)^  retry after: (59\d|600)\.\d+ s$")
        # The first client hits the upstream's limit.
        equal(world.sim.answers() - before, int(language == LANGUAGES[0]), "calls of the upstream")

    each(examine)
    # No client retried before the credential was available again.
    equal(outcomes(gateway, "pool_exhausted"), len(LANGUAGES), "chats that met no token")


@check("examples: a gateway that is full is asked again when it says, and then answers")
def retried(world):
    gateway = world.gateway("examples-full", tokens=1, MAX_CONCURRENT_REQUESTS="1")
    # Loading during the first chat must not exceed the other clients' timeouts.
    equal(run(world, gateway, "Go", "any", "Hello.")[0], 0, "exit code of the first chat")

    def examine(language):
        before = outcomes(gateway, "overloaded")
        world.sim.post("hold", at="after_first_piece")
        busy = start(world, gateway, "Go", "any", "I am here.")
        waiting = None
        try:
            true(os.read(busy.stdout.fileno(), 4), "the first answer has begun")
            waiting = start(world, gateway, language, "any", "And me?")
            until(lambda: outcomes(gateway, "overloaded") > before, "the gateway was full once")
        finally:
            world.sim.post("release")
            first = ended(busy)
            second = ended(waiting) if waiting else None
        equal(first[0], 0, f"the first: {first}")
        equal(second, (0, "You said: And me?\n", ""), "the one that waited")

    each(examine)
