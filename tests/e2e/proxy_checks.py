"""The configurations in docs/proxies.md, used by the real proxies in front of a gateway."""

import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import grpc
import openai
from certificates import certificates
from checks import Skip, check, equal, true, until
from grpc_door import Door, request
from grpc_door import text_of as text_of_events
from shapes import ANSWER, CHAT, QUESTION, text_of
from world import MODELS, Process

PAGE = Path(__file__).parents[2] / "docs" / "proxies.md"
MODEL = MODELS[0]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def block(language):
    """The page's only block in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    return text


class Proxy(Process):
    """A proxy with the page's configuration, in which only addresses and files are replaced."""

    def __init__(self, world, name, command, port):
        self.port = port
        super().__init__(world.directory, name, command, {})
        until(self.listens, f"{name} listens", 30)

    def listens(self):
        true(self.running(), f"{self.name} ended:\n{self.output()[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def replaced(text, replacements):
    for old, new in replacements.items():
        true(old in text, f"the page has no {old!r} any more")
        text = text.replace(old, new)
    return text


def nginx(world, directory):
    port = free_port()
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr
    version = tuple(map(int, re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", told).groups()))
    listen = f"listen 127.0.0.1:{port} ssl;"
    server = replaced(
        block("nginx"),
        {
            "127.0.0.1:3333": world.strict.http,
            "127.0.0.1:50051": world.strict.grpc,
            "listen 443 ssl;": listen,
            "/etc/ssl/chat.example.com.pem": f"{directory}/gateway.crt",
            "/etc/ssl/chat.example.com.key": f"{directory}/gateway.key",
        },
    )
    if version < (1, 25, 1):
        server = replaced(server, {listen: listen.replace("ssl;", "ssl http2;"), "    http2 on;\n": ""})
    temporary = "\n".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; pid {directory}/pid; error_log stderr; events {{}}\n"
    whole += f"http {{ access_log off; {temporary}\n{server}\n}}\n"
    (directory / "nginx.conf").write_text(whole)
    return Proxy(world, "nginx", ["nginx", "-e", "stderr", "-p", directory, "-c", directory / "nginx.conf"], port)


def haproxy(world, directory):
    port = free_port()
    both = directory / "both.pem"
    both.write_text((directory / "gateway.crt").read_text() + (directory / "gateway.key").read_text())
    text = replaced(
        block("haproxy"),
        {
            "127.0.0.1:3333": world.strict.http,
            "127.0.0.1:50051": world.strict.grpc,
            "bind :443": f"bind 127.0.0.1:{port}",
            "/etc/haproxy/chat.example.com.pem": str(both),
        },
    )
    (directory / "haproxy.cfg").write_text(text)
    return Proxy(world, "haproxy", ["haproxy", "-db", "-f", directory / "haproxy.cfg"], port)


def passes(world, start):
    """Checks that chats through a proxy are complete at both doors, and that the proxy does not buffer events."""
    name = start.__name__
    if not shutil.which(name):
        raise Skip(f"there is no {name} here")
    directory = world.directory / f"{name}-files"
    directory.mkdir()
    certificates(directory)
    proxy = start(world, directory)
    try:
        http = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=directory / "ca.crt"))
        base = f"https://127.0.0.1:{proxy.port}/v1"
        with openai.OpenAI(base_url=base, api_key=world.strict.key, http_client=http, timeout=60) as api:
            whole = api.chat.completions.create(model=MODEL, **CHAT)
            equal(whole.choices[0].message.content, ANSWER, "whole")
            world.sim.rest()
            world.sim.post("hold", at="after_first_piece")
            try:
                stream = api.chat.completions.create(model=MODEL, stream=True, **CHAT)
                chunks = []
                while not text_of(chunks):
                    chunks.append(next(stream))
                equal(world.sim.open(), 1, "open answers when the first text is here")
                world.sim.post("release")
                chunks += stream
            finally:
                world.sim.post("release")
            equal(text_of(chunks), ANSWER, "streamed")
        credentials = grpc.ssl_channel_credentials((directory / "ca.crt").read_bytes())
        channel = grpc.secure_channel(f"127.0.0.1:{proxy.port}", credentials)
        with Door(world.strict, channel=channel) as door:
            call = door.start("StreamChatCompletion", request())
            equal(text_of_events(call), ANSWER, "gRPC")
            with door.converse() as talk:
                talk.start()
                equal(text_of_events(talk.ask(QUESTION)), ANSWER, "a turn of Converse")
    finally:
        proxy.stop()


@check("proxies: nginx by the page's lines passes chats, events as they come, gRPC and Converse")
def through_nginx(world):
    passes(world, nginx)


@check("proxies: HAProxy by the page's lines passes chats, events as they come, gRPC and Converse")
def through_haproxy(world):
    passes(world, haproxy)
