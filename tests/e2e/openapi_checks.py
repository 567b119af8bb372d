"""The OpenAPI document: its examples run, generated requests get only documented responses, OpenAI's own schema accepts
the answers, and the docs page works without a network."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from checks import Skip, check, equal, true
from http_checks import ask
from node import new_node
from world import START, Gateway, Process, Sim

HERE = Path(__file__).with_name("openapi")
DEMO_KEY = "sk-duogate-demo"
# The models of `duogate demo`.
DEMO_MODELS = ["Gemini 2.5 Pro", "Claude 4 Sonnet", "o4-Default"]
ADMIN = "^/admin"
FEWEST_CASES = 2000
SEED = "1"
# Valid data may be rejected for reasons beyond any schema, such as an unknown id; admin requests may not.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
]
ADMIN_CHECKS = [*CHECKS, "positive_data_acceptance"]


def document(address):
    answer = ask(address, "GET", "/openapi.json")
    equal(answer.status, 200, "status of the document")
    return answer.json()


def examples(told):
    """Every request example: its operation, name, path and body."""
    for path, item in told["paths"].items():
        for operation in item.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                for name, example in media.get("examples", {}).items():
                    yield operation["operationId"], name, path, example["value"]


def run_examples(address, key):
    found = list(examples(document(address)))
    true(len(found) >= 7, f"only {len(found)} examples")
    for operation, name, path, body in found:
        answer = ask(address, "POST", path, body, authorization=f"Bearer {key}")
        equal(answer.status, 200, f"{operation}, {name}: {answer.text[:300]!r}")
        kind = "text/event-stream" if body.get("stream") else "application/json"
        equal(answer.headers["content-type"].split(";")[0], kind, f"{operation}, {name}: type")
        equal(answer.headers.get("x-duogate-ignored"), None, f"{operation}, {name}: ignored")
        true('"error":{' not in answer.text, f"{operation}, {name}: {answer.text[-300:]!r}")
    model = ask(address, "GET", "/v1/models/Claude%204%20Sonnet", authorization=f"Bearer {key}")
    equal(model.status, 200, "the model of the examples")


@check("openapi: every example of the document runs as it stands")
def examples_run(world):
    gateway = world.gateway("examples", tokens=1, AVAILABLE_MODELS=DEMO_MODELS)
    run_examples(gateway.http, gateway.key)


@check("openapi: the examples run against the demo")
def examples_of_the_demo(world):
    demo = Process(world.directory, "demo", [world.binary, "demo"], {})
    try:
        try:
            demo.wait_for("The docs page is at", "its last line")
        except AssertionError:
            # Its ports are fixed, so that its output is known beforehand.
            if "in use by another program" in demo.output():
                raise Skip("the demo's ports are taken") from None
            raise
        run_examples("127.0.0.1:3333", DEMO_KEY)
    finally:
        demo.stop()


@contextmanager
def apart(world, name, **settings):
    """A gateway with its own upstream: generated requests may add credentials unknown to the upstream."""
    tokens = [world.secret("token") for _ in range(3)]
    sim = Sim(world, f"{name}-sim", tokens)
    try:
        gateway = world.keep(Gateway(world, name, tokens, **(sim.settings() | {"AVAILABLE_MODELS": []} | settings)))
        try:
            yield gateway
        finally:
            gateway.stop()
    finally:
        sim.stop()


def python(world):
    """The interpreter with the packages of openapi/requirements.txt."""
    if not world.tools["openapi_python"]:
        raise Skip("no --openapi-python was given")
    return world.tools["openapi_python"]


def fuzz(world, gateway, key, paths, checks, most):
    """Sends generated requests, and returns schemathesis's own report."""
    with tempfile.TemporaryDirectory(dir=gateway.home) as directory:
        report = Path(directory, "report.json")
        command = [python(world), "-m", "schemathesis.cli", "--no-color", "run", f"http://{gateway.http}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {key}", *paths, "--checks", ",".join(checks)]
        command += ["--seed", SEED, "--generation-deterministic", "--no-shrink"]
        command += ["--max-examples", str(most), "--continue-on-failure", "--suppress-health-check", "all"]
        command += ["--warnings", "off", "--report", "json", "--report-json-path", report]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=400)
        true(report.exists(), done.stdout[-3000:] + done.stderr[-3000:])
        told = json.loads(report.read_text())
        # Kept to the last part: the output of a whole run is too long to read.
        equal(done.returncode, 0, f"exit code of schemathesis: {done.stdout[-6000:]}{done.stderr[-2000:]}")
    operations, cases = told["operations"], told["test_cases"]
    true(told["complete"], f"it stopped early: {told['stop_reason']}")
    equal(operations["tested"], operations["selected"], "operations that were tested")
    equal((cases["with_failures"], cases["errored"]), (0, 0), "cases that failed")
    return operations["tested"], cases["generated"] - cases["without_checks"]


def outcomes(gateway):
    """The outcomes of a gateway's chats, from its metrics."""
    text = ask(gateway.http, "GET", "/metrics", authorization=f"Bearer {gateway.key}").text
    counts = {}
    # The model's name before it may contain any characters.
    for outcome, count in re.findall(r'(?m)^duogate_requests_total\{.*outcome="(\w+)"\} (\d+)$', text):
        counts[outcome] = counts.get(outcome, 0) + int(count)
    return counts


@check("openapi: generated requests meet no server error and nothing that the document does not tell")
def fuzzed(world):
    with apart(world, "fuzzed") as gateway:
        paths = ["--exclude-path-regex", ADMIN]
        operations, cases = fuzz(world, gateway, gateway.key, paths, CHECKS, 60)
        told = outcomes(gateway)
    print(f"     {cases} cases on {operations} operations; chats by outcome: {told}", flush=True)
    true(cases >= FEWEST_CASES, f"only {cases} cases")
    # Not all requests may be rejected by validation.
    true(told.get("ok", 0) >= 200, f"too few chats were answered: {told}")


@check("openapi: the same for what operators do")
def operated(world):
    key = world.secret("adm-e2e")
    with apart(world, "operated", ADMIN_KEY=key) as gateway:
        operations, cases = fuzz(world, gateway, key, ["--include-path-regex", ADMIN], ADMIN_CHECKS, 20)
    print(f"     {cases} cases on {operations} operations", flush=True)
    true(operations == 10 and cases >= 300, f"only {cases} cases on {operations} operations")


@check("openapi: OpenAI's published schema was asked about everything")
def against_openai(world):
    gateway = world.any
    command = [python(world), HERE / "against_openai.py", f"http://{gateway.http}"]
    environment = os.environ | {"KEY": gateway.key}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    before = world.report.passed, world.report.failed
    world.report.relay(done.stdout)
    passed, failed = (now - then for now, then in zip((world.report.passed, world.report.failed), before))
    true(passed + failed == 8 and done.returncode == (1 if failed else 0), done.stderr[-2000:])


def browser(world):
    """Chromium: the given one, or the machine's own."""
    found = world.tools["chromium"] or shutil.which("chromium")
    if not found:
        raise Skip("there is no chromium here")
    return found


@check("docs: the browser's script ran to its end")
def docs_page(world):
    gateway = world.gateway("docs", tokens=1, AVAILABLE_MODELS=[], ADMIN_KEY=world.secret("adm-e2e"))
    settings = {
        "URL": f"http://{gateway.http}",
        "KEY": gateway.key,
        "MODEL": "ordinary",
        "NODE_PACKAGES": world.tools["node_packages"],
        "CHROMIUM": browser(world),
        "SCREENSHOTS": str(gateway.home),
    }
    command = [new_node(world), HERE / "docs_page.mjs"]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=3 * START)
    failed = world.report.failed
    world.report.relay(done.stdout)
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])
    pictures = sorted(path.name for path in gateway.home.glob("*.png"))
    true(pictures == ["docs-tried.png", "docs.png"] or done.returncode, f"pictures: {pictures}")
