"""The servers under test: one simulated upstream and gateways in front of it.

Each runs in its own empty directory with only its own settings, so that no `.env` and no variable of the machine
affects it. It uses free ports, and its addresses are read from its output.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path
from types import SimpleNamespace

from checks import until

START = 60.0  # a debug build on a busy machine is slow
CLOSED = 3.0  # an upstream call whose client has left is closed within about a second
STOP = 40.0  # longer than SHUTDOWN_GRACE
# The strict gateway's models; names with spaces and slashes are the difficult cases.
MODELS = ["Gemini 2.5 Pro", "gpt-4o", "Claude Sonnet 4", "o4-Default", "vendor/model-1"]
ALIASES = {"fast": "Gemini 2.5 Pro"}


def clean_environment(settings):
    """The minimum of the machine's environment, and the settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}


class Process:
    """A running program whose output goes to a file."""

    def __init__(self, directory, name, command, settings):
        self.name = name
        self.home = Path(directory) / name
        self.home.mkdir()
        self.log = self.home / "log"
        self.asked_to_end = False
        # Makes the kernel kill the program when its parent ends in any way.
        guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*guard, *map(str, command)],
                cwd=self.home,
                env=clean_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def output(self):
        return self.log.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def wait_for(self, pattern, what):
        """Waits for a line in the output; fails at once when the program has ended without it."""

        def look():
            ended = not self.running()
            found = re.search(pattern, self.output())
            if not found and ended:
                said = f"{self.name} ended with {self.process.returncode} before {what}"
                raise AssertionError(f"{said}:\n{self.output()[-2000:]}")
            return found

        return until(look, f"{self.name}: {what}", START)

    def terminate(self):
        """Sends the stop signal, only once: a second one would mean a hard stop."""
        if self.running() and not self.asked_to_end:
            self.asked_to_end = True
            self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """Stops it and waits; returns the exit code."""
        self.terminate()
        try:
            return self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(STOP)


class Control:
    """The control of a simulated upstream, perhaps started by another process."""

    def __init__(self, origin):
        self.origin = origin

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.origin}/sim/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def state(self):
        return self.call("GET", "state")

    def open(self):
        return self.state()["open"]

    def rest(self, seconds=10.0):
        """Waits until no answer is open; the gateway may still read the last ones in the background."""
        until(lambda: self.open() == 0, "no answer is open upstream", seconds)

    def answers(self):
        """Number of answers asked for since the start."""
        return self.state()["counts"]["calls"].get("answer", 0)

    def post(self, path, **body):
        self.call("POST", path, body)


class Sim(Process, Control):
    """The simulated upstream and its control."""

    def __init__(self, world, name, tokens, *options):
        command = [world.binary, "sim", "--host", "127.0.0.1", "--port", "0", *options]
        for token in tokens:
            command += ["--token", token]
        Process.__init__(self, world.directory, name, command, {})
        Control.__init__(self, self.wait_for(r"http://127\.0\.0\.1:[1-9]\d*", "its address")[0])
        self.wait_for(r"TOKEN_POOL=.*\n", "the lines to paste")

    def settings(self):
        """The settings for a gateway, as printed by the simulator."""
        names = "PROJECT_API_URL|CONVERSATION_API_URL|MESSAGE_API_URL|TARGET_API_URL|SITE_URL"
        return dict(re.findall(rf"\b({names})=(\S+)", self.output()))


class Gateway(Process):
    """One `duogate serve` with its own credentials and key."""

    def __init__(self, world, name, tokens, **settings):
        self.key = world.secret("sk-e2e")
        self.tokens = tokens
        # A quick retry keeps the checks short; its number makes upstream calls easy to count.
        given = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "GRPC_PORT": "0",
            "API_KEYS": [self.key],
            "TOKEN_POOL": tokens,
            "MAX_RETRIES": "1",
            "RETRY_DELAY": "0.05",
            "LOG_LEVEL": "info,duogate=debug",
            **world.sim.settings(),
            **settings,
        }
        self.settings = given
        super().__init__(world.directory, name, self.command(world), given)
        self.http, self.grpc = self.addresses()
        self.base_url = f"http://{self.http}/v1"

    def command(self, world):
        return [world.binary, "serve"]

    def addresses(self):
        """The two addresses, from the log line with both."""
        address = r"(127\.0\.0\.1:[1-9]\d*)"
        # As text `http=… grpc=…`, as JSON `"http":"…","grpc":"…"`.
        both = rf'\bserving\b.*\bhttp["=:]+{address}.*\bgrpc["=:]+{address}'
        return self.wait_for(both, "its addresses").group(1, 2)


class World:
    """Everything that runs, and the tools."""

    def __init__(self, directory, binary, tools, report):
        self.directory = Path(directory)
        self.binary = binary
        self.tools = tools
        self.report = report
        self.secrets = []
        self.processes = []
        self.tokens = [self.secret("token") for _ in range(40)]
        self.unused = list(self.tokens)

    def secret(self, prefix):
        secret = f"{prefix}-{secrets.token_hex(12)}"
        self.secrets.append(secret)
        return secret

    def start(self):
        self.sim = self.keep(Sim(self, "sim", self.tokens))
        self.strict = self.gateway("strict", AVAILABLE_MODELS=MODELS, MODEL_ALIASES=ALIASES, MAX_BODY_BYTES="65536")
        self.any = self.gateway("any", LOG_FORMAT="json", AVAILABLE_MODELS=[])
        # For agents, which send tools with every request.
        self.agent = self.gateway("agent", tokens=2, AVAILABLE_MODELS=[], UNSUPPORTED_PARAMS="ignore")
        self.empty = self.gateway("empty", tokens=0, AVAILABLE_MODELS=[])

    def keep(self, process):
        self.processes.append(process)
        return process

    def gateway(self, name, tokens=3, **settings):
        """A gateway with credentials of its own, since two gateways on one account would interfere."""
        taken, self.unused = self.unused[:tokens], self.unused[tokens:]
        return self.keep(Gateway(self, name, taken, **settings))

    def stop(self):
        """Stops the gateways first, so that they can clean up upstream, and then the rest."""
        for process in reversed(self.processes):
            process.stop()

    def view(self):
        """The information for a script in another process, as JSON."""
        gateways = {name: getattr(self, name) for name in ("strict", "any", "agent", "empty")}
        return json.dumps(
            {
                "gateways": {name: {"base_url": it.base_url, "key": it.key} for name, it in gateways.items()},
                "sim": self.sim.origin,
                "wrong_key": self.secret("sk-wrong"),
            }
        )


class View:
    """The world as seen by such a script."""

    def __init__(self, text):
        told = json.loads(text)
        for name, gateway in told["gateways"].items():
            setattr(self, name, SimpleNamespace(**gateway))
        self.sim = Control(told["sim"])
        self.wrong_key = told["wrong_key"]

    def secret(self, _prefix):
        """A new key, known only to the check for secrets in the logs."""
        return self.wrong_key
