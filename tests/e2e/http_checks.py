"""The HTTP door without any SDK: keys, paths, methods, bodies, health, metrics and the bytes of a stream."""

import http.client
import json
import re
import shutil
import subprocess
import urllib.parse

from checks import check, equal, true, until
from shapes import ANSWER, CHAT
from world import CLOSED

CHAT_PATH = "/v1/chat/completions"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()

    def json(self):
        kind = self.headers.get("content-type", "")
        true(kind.split(";")[0] == "application/json", f"content-type {kind!r} of {self.text[:200]!r}")
        return json.loads(self.text)

    def error(self, status, code, kind="invalid_request_error", param=None, of="the request"):
        """The error in the body, which must have this status, code, type and param."""
        equal(self.status, status, f"{of}: status of {self.text[:300]!r}")
        error = self.json()["error"]
        equal(set(error), {"message", "type", "param", "code"}, "fields of the error")
        equal((error["code"], error["type"], error["param"]), (code, kind, param), of)
        true(isinstance(error["message"], str) and error["message"], "no message")
        true(self.headers.get("x-request-id"), "no x-request-id")
        return error


def ask(address, method, path, body=None, **headers):
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        connection.request(method, path, body=body, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def chat(gateway, body, **headers):
    return ask(gateway.http, "POST", CHAT_PATH, body, authorization=f"Bearer {gateway.key}", **headers)


@check("http: a key is taken from Authorization, X-API-Key, api-key and ?api_key=")
def four_ways(world):
    key, address = world.strict.key, world.strict.http
    ways = {
        "authorization": ask(address, "GET", "/v1/models", authorization=f"Bearer {key}"),
        "x-api-key": ask(address, "GET", "/v1/models", x_api_key=key),
        "api-key": ask(address, "GET", "/v1/models", api_key=key),
        "?api_key=": ask(address, "GET", "/v1/models?" + urllib.parse.urlencode({"api_key": key})),
    }
    equal({way: answer.status for way, answer in ways.items()}, dict.fromkeys(ways, 200), "statuses")


@check("http: no key and wrong keys get 401 invalid_api_key in all four ways")
def wrong_keys(world):
    address, wrong = world.strict.http, world.secret("sk-wrong")
    ask(address, "GET", "/v1/models").error(401, "invalid_api_key")
    ask(address, "GET", "/v1/models", authorization=f"Bearer {wrong}").error(401, "invalid_api_key")
    ask(address, "GET", "/v1/models", authorization=world.strict.key).error(401, "invalid_api_key")
    ask(address, "GET", "/v1/models", x_api_key=wrong).error(401, "invalid_api_key")
    ask(address, "GET", "/v1/models", api_key=wrong).error(401, "invalid_api_key")
    answer = ask(address, "GET", f"/v1/models?api_key={wrong}")
    answer.error(401, "invalid_api_key")
    true(wrong not in answer.text, "the wrong key is told back")
    ask(address, "POST", CHAT_PATH, CHAT).error(401, "invalid_api_key")


@check("http: an unknown path is a JSON 404")
def unknown_path(world):
    key = f"Bearer {world.strict.key}"
    for method, path in [("GET", "/v1/nothing-here"), ("POST", "/v1/embeddings"), ("GET", "/nowhere")]:
        error = ask(world.strict.http, method, path, authorization=key).error(404, "unknown_url")
        true(path in error["message"], f"the path is not named: {error['message']!r}")


@check("http: a wrong method is a JSON 405")
def wrong_method(world):
    key = f"Bearer {world.strict.key}"
    for method, path in [("GET", CHAT_PATH), ("DELETE", CHAT_PATH), ("POST", "/v1/models")]:
        ask(world.strict.http, method, path, authorization=key).error(405, "method_not_supported")


@check("http: bodies that are no JSON, of another type or too large are 400, 415 and 413")
def bad_bodies(world):
    small = world.strict
    chat(small, "{", content_type="application/json").error(400, "invalid_request")
    chat(small, "", content_type="application/json").error(400, "invalid_request")
    chat(small, "a=b", content_type="application/x-www-form-urlencoded").error(415, "unsupported_media_type")
    large = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * (128 << 10)}]}
    chat(small, large).error(413, "request_too_large")


@check("http: unknown fields and nulls are ignored, unsupported ones are named")
def fields(world):
    extra = CHAT | {"model": "gpt-4o", "brand_new": {"a": 1}, "stop": None, "user": "u", "metadata": {"a": "b"}}
    equal(chat(world.strict, extra).json()["choices"][0]["message"]["content"], ANSWER, "content")
    for field, value in [("n", 9), ("tools", [{"type": "function", "function": {"name": "f"}}])]:
        answer = chat(world.strict, CHAT | {"model": "gpt-4o", field: value})
        answer.error(400, "unsupported_parameter", param=field)


@check("http: health, liveness and readiness are open")
def health(world):
    for path in ("/health", "/livez", "/readyz"):
        equal(ask(world.strict.http, "GET", path).status, 200, path)


@check("http: metrics need the key and are well formed")
def metrics(world):
    ask(world.strict.http, "GET", "/metrics").error(401, "invalid_api_key")
    answer = ask(world.strict.http, "GET", "/metrics", authorization=f"Bearer {world.strict.key}")
    equal(answer.status, 200, "status")
    true(answer.headers["content-type"].startswith("text/plain"), f"type {answer.headers['content-type']!r}")
    line = re.compile(r"(# (HELP|TYPE) \S+ .+|[a-z_][a-z0-9_]*(\{.*\})? \S+( \d+)?)")
    odd = [text for text in answer.text.splitlines() if text and not line.fullmatch(text)]
    equal(odd, [], "odd lines")
    true("# TYPE duogate_" in answer.text, "no metric of the gateway's own")
    if shutil.which("promtool"):
        lint = subprocess.run(["promtool", "check", "metrics"], input=answer.text, text=True, capture_output=True)
        equal(lint.returncode, 0, f"promtool: {lint.stdout}{lint.stderr}")


def events(answer):
    """The data of every event; anything else between them is an error."""
    true(answer.text.endswith("\n\n"), f"the stream ends in the middle of an event: {answer.text[-80:]!r}")
    blocks = answer.text[:-2].split("\n\n")
    odd = [block for block in blocks if not re.fullmatch(r"(: ?[^\n]*|data: [^\n]+)", block)]
    equal(odd, [], "odd blocks")
    return [block[6:] for block in blocks if block.startswith("data: ")]


def stream(world, model, **extra):
    answer = chat(world.any, CHAT | {"model": model, "stream": True} | extra)
    equal(answer.status, 200, f"status of {answer.text[:300]!r}")
    true(answer.headers["content-type"].startswith("text/event-stream"), answer.headers["content-type"])
    true(answer.headers.get("x-request-id"), "no x-request-id")
    return events(answer)


@check("http: a stream has the keys that strict clients need and ends with [DONE]")
def whole_stream(world):
    for usage in (False, True):
        options = {"stream_options": {"include_usage": True}} if usage else {}
        *chunks, done = stream(world, "ordinary", **options)
        equal(done, "[DONE]", "last event")
        chunks = [json.loads(chunk) for chunk in chunks]
        for chunk in chunks:
            true({"id", "object", "created", "model", "choices"} <= set(chunk), f"keys of {chunk}")
            true(("usage" in chunk) == usage, f"usage key of {chunk}")
            for choice in chunk["choices"]:
                equal(set(choice), {"index", "delta", "logprobs", "finish_reason"}, "keys of a choice")


@check("http: a cut stream ends with an error event and neither [DONE] nor a finish reason")
def cut_streams(world):
    for model in ("fault:cut", "fault:polite-cut", "fault:malformed", "fault:error-event"):
        *chunks, last = stream(world, model)
        chunks, last = [json.loads(chunk) for chunk in chunks], json.loads(last)
        equal(set(last), {"error"}, f"{model}: keys of the last event")
        equal(set(last["error"]), {"message", "type", "param", "code"}, f"{model}: fields of the error")
        equal(last["error"]["type"], "server_error", f"{model}: type")
        true(all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks), f"{model}: finish reason")
        true(any(chunk["choices"][0]["delta"].get("content") for chunk in chunks), f"{model}: no content before")


@check("http: each way in which the upstream may write or end its answer gives the whole text")
def dialects(world):
    names = "tab json json-message split crlf cr one-line bom comments fields no-space many-lines noise prologue"
    models = [f"dialect:{name}" for name in names.split()] + ["fault:no-done", "fault:no-finish", "fault:heartbeats"]
    for model in models:
        *chunks, done = stream(world, model)
        deltas = [json.loads(chunk)["choices"][0] for chunk in chunks]
        text = "".join(choice["delta"].get("content") or "" for choice in deltas)
        equal((text, deltas[-1]["finish_reason"], done), (ANSWER, "stop", "[DONE]"), model)


@check("http: finish reasons are told as they are, unknown ones as stop")
def finish_reasons(world):
    for model, reason in [("length", "length"), ("content_filter", "content_filter"), ("unknown", "stop")]:
        answer = chat(world.any, CHAT | {"model": f"finish:{model}"}).json()
        equal(answer["choices"][0]["finish_reason"], reason, model)


@check("http: failures before the first event are real statuses, never the upstream's own page")
def early_failures(world):
    for model, status, code in [
        ("fault:400", 400, "upstream_refused"),
        ("fault:502", 502, "upstream_unavailable"),
        ("fault:empty-body", 502, "upstream_unavailable"),
        ("fault:cut-first", 502, "upstream_unavailable"),
    ]:
        for streamed in (False, True):
            kind = "invalid_request_error" if status == 400 else "server_error"
            answer = chat(world.any, CHAT | {"model": model, "stream": streamed})
            answer.error(status, code, kind, of=f"{model}, stream: {streamed}")
            equal(answer.headers.get("x-should-retry"), "false", f"{model}: x-should-retry")
            true("<" not in answer.text, f"{model}: markup in {answer.text!r}")


@check("http: a cut before anything was sent is 502 upstream_truncated where the whole answer is wanted")
def cut_whole(world):
    chat(world.any, CHAT | {"model": "fault:cut"}).error(502, "upstream_truncated", "server_error")


@check("http: a client that leaves before the first byte closes the upstream's answer")
def leaves_early(world):
    for streamed in (False, True):
        world.sim.rest()
        connection = http.client.HTTPConnection(world.any.http, timeout=30)
        headers = {"authorization": f"Bearer {world.any.key}", "content-type": "application/json"}
        body = json.dumps(CHAT | {"model": "fault:stall-head", "stream": streamed})
        connection.request("POST", CHAT_PATH, body, headers)
        until(lambda: world.sim.open() == 1, "the answer was opened upstream")
        connection.close()
        world.sim.rest(CLOSED)
