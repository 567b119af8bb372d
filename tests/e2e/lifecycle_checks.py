"""Starting, stopping, and the commands other than `serve`."""

import socket
import stat
import subprocess

import grpc
from checks import check, equal, true, until
from grpc_door import Door, request
from openai_sync import client
from shapes import ANSWER, CHAT, text_of, whole_stream
from world import CLOSED, MODELS, clean_environment


def run(world, name, *arguments, settings=None, home=None):
    """Runs a command of the binary to its end, in an empty directory; returns exit code and output."""
    if home is None:
        home = world.directory / name
        home.mkdir()
    done = subprocess.run(
        [world.binary, *arguments],
        cwd=home,
        env=clean_environment(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def refuses(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


@check("lifecycle: SIGTERM lets open streams of both doors finish, refuses new connections and exits 0")
def drain(world):
    world.sim.rest()
    gateway = world.gateway("drained", AVAILABLE_MODELS=MODELS)
    world.sim.post("hold", at="after_first_piece")
    try:
        with client(gateway) as api, Door(gateway) as door:
            chunks, events = [], []
            stream = api.chat.completions.create(model=MODELS[0], stream=True, **CHAT)
            while not text_of(chunks):
                chunks.append(next(stream))
            call = door.start("StreamChatCompletion", request())
            while not any(event.HasField("content") for event in events):
                events.append(next(call))
            gateway.terminate()
            until(lambda: refuses(gateway.http) and refuses(gateway.grpc), "both ports refuse")
            true(gateway.running(), "the gateway ended with streams open")
            equal(world.sim.open(), 2, "open answers while draining")
            world.sim.post("release")
            chunks += stream
            events += call
            equal(call.code(), grpc.StatusCode.OK, "status of the gRPC stream")
    finally:
        world.sim.post("release")
    whole_stream(chunks, MODELS[0], usage=False)
    equal("".join(event.content.text for event in events), ANSWER, "content of the gRPC stream")
    equal(gateway.stop(), 0, "exit code")


@check("lifecycle: SIGTERM ends the gateway with 0 from the moment on that it says it serves")
def early_end(world):
    home = world.directory / "early"
    home.mkdir()
    codes = []
    for _ in range(5):
        process = subprocess.Popen(
            [world.binary, "serve"],
            cwd=home,
            env=clean_environment(world.strict.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said = next((line for line in process.stderr if "serving" in line), "")
            process.terminate()
            said += process.communicate(timeout=60)[1]
        finally:
            process.kill()
        codes.append(process.returncode)
    equal(codes, [0] * len(codes), f"exit codes; the last one said:\n{said}")


@check("lifecycle: a stream that outlasts the grace is cut with an error, and the gateway still ends")
def grace(world):
    gateway = world.gateway("hurried", tokens=1, SHUTDOWN_GRACE="0.5")
    with client(gateway) as api:
        chunks = []
        stream = api.chat.completions.create(model="fault:stall", stream=True, **CHAT)
        while not text_of(chunks):
            chunks.append(next(stream))
        gateway.terminate()
        try:
            chunks += stream
        except Exception:  # an in-band error or a closed connection, both are honest
            pass
        else:
            raise AssertionError("the stream ended as if it were whole")
    gateway.stop()
    world.sim.rest(CLOSED)


@check("lifecycle: check accepts good settings and shows no secret")
def check_good(world):
    settings = world.strict.settings | {"PORT": "3333", "GRPC_PORT": "50051"}
    code, output = run(world, "check-good", "check", settings=settings)
    equal(code, 0, output)
    for name in ("PORT", "TOKEN_POOL", "AVAILABLE_MODELS"):
        true(name in output, f"{name} is not told:\n{output}")
    shown = [secret for secret in world.secrets if secret in output]
    equal(len(shown), 0, "secrets shown")


@check("lifecycle: check names every bad setting at once and exits 2")
def check_bad(world):
    bad = {
        "API_KEYS": "[broken",
        "PORT": "99999",
        "GRPC_PORT": "many",
        "TIMEOUT": "-1",
        "TOKEN_POOL": '["a;b"]',
        "TARGET_API_URL": "ftp://nowhere",
        "REQUIRE_API_KEY": "perhaps",
    }
    code, output = run(world, "check-bad", "check", settings=bad)
    equal(code, 2, output)
    missing = [name for name in bad if name not in output]
    equal(missing, [], f"variables that are not named in:\n{output}\n")
    true("a;b" not in output, f"a token is shown:\n{output}")


@check("lifecycle: serve without keys exits 2 and says so")
def no_keys(world):
    code, output = run(world, "no-keys", "serve", settings={"PORT": "0", "GRPC_PORT": "0"})
    equal(code, 2, output)
    true("API_KEYS" in output, output)


@check("lifecycle: a busy port is told clearly, for either door")
def busy(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name in ("PORT", "GRPC_PORT"):
            settings = world.strict.settings | {"PORT": "0", "GRPC_PORT": "0", name: port}
            code, output = run(world, f"busy-{name}", "serve", settings=settings)
            true(code not in (0, 101), f"exit code {code}: {output}")
            true(port in output and "in use" in output, f"{name}: {output}")


@check("lifecycle: init writes a private .env that passes check, and never overwrites")
def init(world):
    home = world.directory / "init"
    home.mkdir()
    code, output = run(world, "init", "init", home=home)
    equal(code, 0, output)
    file = home / ".env"
    written = file.read_bytes()
    equal(stat.S_IMODE(file.stat().st_mode), 0o600, "mode")
    code, output = run(world, "init", "check", home=home)
    equal(code, 0, output)
    code, output = run(world, "init", "init", home=home)
    true(code != 0 and ".env" in output, f"exit code {code}: {output}")
    equal(file.read_bytes(), written, ".env after the second init")


@check("lifecycle: check --health tells a running gateway from none")
def check_health(world):
    host, port = world.strict.http.split(":")
    settings = world.strict.settings | {"HOST": host, "PORT": port}
    code, output = run(world, "health-up", "check", "--health", settings=settings)
    equal(code, 0, output)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound but not listening, so that nothing else can serve there
        settings["PORT"] = str(free.getsockname()[1])
        code, output = run(world, "health-down", "check", "--health", settings=settings)
    true(code != 0, f"exit code {code}: {output}")
