"""docs/grpcurl.md: every command in it is run, and prints what the page shows.

With UPDATE_PAGES=1 in the environment the page is updated instead.
"""

import os
import re
from pathlib import Path

import page
from certificates import certificates
from checks import check, equal, true, until
from http_checks import ask
from world import Gateway, Sim, clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "grpcurl.md"
# As in `duogate demo`, for which the page is written.
KEY, ADMIN_KEY = "sk-duogate-demo", "adm-duogate-demo"
TOKENS = ["demo-token-1", "demo-token-2", "demo-token-3"]
MODELS = ["Gemini 2.5 Pro", "Claude 4 Sonnet", "o4-Default"]
PACE = 60
# Parts of the output that vary between runs.
VARYING = [
    (r"(chatcmpl|conv)-[0-9a-f]{32}", r"\1-ID"),
    (r'"created": "\d+"', '"created": "TIME"'),
    (r'("requestId": |x-request-id: )"?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"?', r"\1ID"),
    (r'"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"TIME"'),
    (r'"age": "[\d.]+s"', '"age": "SECONDS"'),
    (r"(?m)^date: .*$", "date: DATE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    # The progress of deleting conversations.
    (r'"(inUse|leaving|removed)": \d+', r'"\1": COUNT'),
    # Client and server both enforce the deadline, with different messages.
    (r"(?s)(Code: DeadlineExceeded).*", r"\1"),
]


class Demo(Gateway):
    """A gateway like the demo's."""

    def __init__(self, world, name, **settings):
        super().__init__(world, name, TOKENS, AVAILABLE_MODELS=MODELS, WARM_CONVERSATIONS="0", **settings)


def start(world):
    """An upstream as slow as the demo's, and three gateways: without TLS, with TLS, and with client certificates."""
    sim = world.keep(Sim(world, "page-sim", TOKENS, "--chunk-delay", str(PACE)))
    tls = world.directory / "page"
    tls.mkdir()
    certificates(tls)
    upstream = sim.settings() | {"API_KEYS": [KEY], "ADMIN_KEY": ADMIN_KEY}
    shown = {"TLS_CERT": str(tls / "gateway.crt"), "TLS_KEY": str(tls / "gateway.key")}
    plain = world.keep(Demo(world, "page-plain", **upstream))
    secure = world.keep(Demo(world, "page-tls", **upstream, **shown))
    mutual = world.keep(Demo(world, "page-mtls", **upstream, **shown, TLS_CLIENT_CA=str(tls / "ca.crt")))
    return tls, plain, secure, mutual


def settings(world, plain, secure, mutual):
    """The variables that the page asks to set, and a path to grpcurl."""
    bin = world.directory / "page-bin"
    bin.mkdir()
    (bin / "grpcurl").symlink_to(Path(world.tools["grpcurl"]).resolve())
    values = {
        "GATEWAY": plain.grpc,
        "KEY": KEY,
        "ADMIN_KEY": ADMIN_KEY,
        "TLS_GATEWAY": secure.grpc,
        "MTLS_GATEWAY": mutual.grpc,
    }
    return clean_environment({**values, "PATH": f"{bin}:{os.environ['PATH']}"}), values


@check("grpcurl: every command of docs/grpcurl.md prints what the page shows")
def whole_page(world):
    tls, plain, secure, mutual = start(world)
    environment, values = settings(world, plain, secure, mutual)
    text = PAGE.read_text()
    blocks = [kind for kind, _ in page.BLOCK.findall(text)]
    equal(set(blocks), {"console", "sh"}, "kinds of blocks")
    equal(blocks.count("sh"), 1, "blocks that set the variables")
    set_there = set(re.findall(r"(?m)^export (\w+)=", text))
    equal(set_there, set(values), "variables that the page sets")

    def under_way():
        told = ask(plain.http, "GET", "/admin/requests", x_api_key=ADMIN_KEY)
        return told.json()["requests"]

    shell = page.Shell(tls, environment, lambda: until(under_way, "the chat is under way"))
    count, wrong = page.run(PAGE, shell, VARYING, update=os.environ.get("UPDATE_PAGES") == "1")
    equal(count, len(re.findall(r"(?m)^\$ ", text)), "commands that were run")
    # Every command on the page must be in a block that is run.
    prose = page.BLOCK.sub("", text)
    equal(re.findall(r"(?m)^.*grpcurl -.*$", prose), [], "commands outside of the blocks")
    true(count >= 30, f"only {count} commands")
    if wrong:
        raise AssertionError("the page is wrong here (UPDATE_PAGES=1 writes it anew):\n" + "\n".join(wrong))
