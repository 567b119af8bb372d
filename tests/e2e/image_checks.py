"""The image, run as documented: as its own user, with a read-only root and no capabilities, by the runtime that Docker
and Kubernetes use."""

import json
import os
import secrets
import socket
import subprocess
from pathlib import Path

import grpc
from checks import Skip, check, equal, true, until
from grpc_door import Door, request
from grpc_door import text_of as text_of_events
from openai_sync import client
from shapes import ANSWER, CHAT, text_of
from world import Gateway

MODEL = "gpt-4o"


class Contained(Gateway):
    """A gateway in a container, on the machine's own network."""

    def __init__(self, world, name, tokens, image, **settings):
        self.image = image
        self.bundle = world.directory / f"{name}-bundle"
        self.bundle.mkdir()
        self.container = f"duogate-{name}-{os.getpid()}"
        super().__init__(world, name, tokens, **settings)

    def command(self, world):
        told = json.loads((self.image / "config.json").read_text())
        subprocess.run(["runc", "spec", "--bundle", self.bundle], check=True)
        path = self.bundle / "config.json"
        spec = json.loads(path.read_text())
        user, group = map(int, told["User"].split(":"))
        given = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in self.settings.items()]
        spec["root"] = {"path": os.path.realpath(self.image / "rootfs"), "readonly": True}
        process = spec["process"]
        process.update(
            terminal=False,
            user={"uid": user, "gid": group},
            args=told["Entrypoint"] + told["Cmd"],
            cwd=told["WorkingDir"],
            env=told["Env"] + given,
            noNewPrivileges=True,
            capabilities={kind: [] for kind in process["capabilities"]},
        )
        # The simulated upstream is on this machine's loopback.
        spaces = spec["linux"]["namespaces"]
        spec["linux"]["namespaces"] = [space for space in spaces if space["type"] != "network"]
        path.write_text(json.dumps(spec))
        return ["runc", "run", "--bundle", self.bundle, self.container]

    def inside(self, *command):
        """Runs a command in the container; returns exit code and output."""
        done = subprocess.run(
            ["runc", "exec", self.container, *command], capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def stop(self):
        code = super().stop()
        subprocess.run(["runc", "delete", "--force", self.container], capture_output=True)
        return code

    def status(self, field):
        """A field of the kernel's status of the gateway's process."""
        state = json.loads(subprocess.run(["runc", "state", self.container], capture_output=True, check=True).stdout)
        lines = Path(f"/proc/{state['pid']}/status").read_text().splitlines()
        return next(line.split()[1:] for line in lines if line.startswith(f"{field}:"))


def no_containers(world, image):
    """Why no container can run here at all; `None` if one can."""
    bundle = world.directory / f"probe-{secrets.token_hex(4)}"
    bundle.mkdir()
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["root"] = {"path": os.path.realpath(image / "rootfs"), "readonly": True}
    spec["process"].update(terminal=False, args=["/bin/true"])
    path.write_text(json.dumps(spec))
    done = subprocess.run(["runc", "run", "--bundle", bundle, bundle.name], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def contained(world):
    image = world.tools["image"]
    if not image:
        raise Skip("no image was built")
    gateway = getattr(world, "contained", None)
    if gateway is None:
        if why := no_containers(world, Path(image)):
            raise Skip(f"this machine runs no container: {why}")
        taken, world.unused = world.unused[:3], world.unused[3:]
        # The port must be known beforehand: the health check reads it from the container's environment.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        gateway = Contained(world, "contained", taken, Path(image), AVAILABLE_MODELS=[MODEL], PORT=port)
        world.contained = world.keep(gateway)
    return gateway


@check("image: it runs as its own user, without rights, over a root that cannot be written")
def confined(world):
    gateway = contained(world)
    equal(set(gateway.status("Uid")), {"10001"}, "uid")
    equal(set(gateway.status("Gid")), {"10001"}, "gid")
    equal(gateway.status("CapEff"), ["0000000000000000"], "capabilities")
    code, output = gateway.inside("sh", "-c", "echo x > /etc/duogate/file")
    true(code != 0 and "ead-only" in output, f"exit code {code}: {output}")


@check("image: the health check that it declares passes in it")
def healthy(world):
    gateway = contained(world)
    told = json.loads((gateway.image / "config.json").read_text())
    kind, *command = told["Healthcheck"]["Test"]
    equal(kind, "CMD", "kind of health check")
    code, output = gateway.inside(*command)
    equal(code, 0, output)


@check("image: chats are whole over both doors")
def chats(world):
    gateway = contained(world)
    with client(gateway) as api:
        equal(api.chat.completions.create(model=MODEL, **CHAT).choices[0].message.content, ANSWER, "whole")
        equal(text_of(api.chat.completions.create(model=MODEL, stream=True, **CHAT)), ANSWER, "streamed")
    with Door(gateway) as door:
        call = door.start("StreamChatCompletion", request(MODEL))
        equal(text_of_events(call), ANSWER, "gRPC")
        equal(call.code(), grpc.StatusCode.OK, "status")


@check("image: it holds public certificates, and one program of its own")
def contents(world):
    gateway = contained(world)
    root = Path(os.path.realpath(gateway.image / "rootfs"))
    true((root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000, "no certificates")
    code, output = gateway.inside("sh", "-c", "ls /usr/local/bin")
    equal((code, output.split()), (0, ["duogate"]), "programs of our own")


@check("image: SIGTERM ends it in order")
def ends(world):
    gateway = contained(world)
    equal(gateway.stop(), 0, "exit code")
    until(lambda: "stopped" in gateway.output(), "the log says that it stopped")
