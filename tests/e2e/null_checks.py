"""Null in an optional field means absent: every optional field in the request types of OpenAI's Python package, found
by walking its types, is sent as null, and must have no effect."""

import re
import types
import typing
from collections.abc import Iterable, Sequence

import typing_extensions as extensions
from openai.types import completion_create_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params

from checks import check, equal, true
from http_checks import ask
from openai_sync import MODEL

# The path of each endpoint, the type of its body, a valid body, and the least number of fields to be found.
ENDPOINTS = [
    (
        "/v1/chat/completions",
        chat_params.CompletionCreateParamsNonStreaming,
        {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
        80,
    ),
    (
        "/v1/completions",
        completion_create_params.CompletionCreateParamsNonStreaming,
        {"model": MODEL, "prompt": "hi"},
        15,
    ),
    (
        "/v1/responses",
        response_create_params.ResponseCreateParamsNonStreaming,
        {"model": MODEL, "input": "hi"},
        200,
    ),
]
# Allowed only with a stream, which the types do not express.
ONLY_STREAMED = "stream_options"
PLAIN = {str: "x", int: 1, float: 0.5, bool: False, object: {}, typing.Any: {}}
LISTS = (list, Iterable, Sequence)


def alternatives(kind):
    """The alternatives of a type, without aliases and annotations."""
    origin = extensions.get_origin(kind)
    if origin in (extensions.Required, extensions.NotRequired, extensions.Annotated):
        return alternatives(extensions.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for part in extensions.get_args(kind) for one in alternatives(part)]
    return [kind]


def is_list(kind):
    origin = extensions.get_origin(kind)
    # The last is the package's own type for a sequence other than a string.
    return origin in LISTS or getattr(origin, "__name__", "") == "SequenceNotStr"


def fields(kind):
    """The fields of a TypedDict: name, type, and whether it is optional."""
    for name, hint in extensions.get_type_hints(kind, include_extras=True).items():
        # The annotations are strings, which `__required_keys__` does not evaluate.
        yield name, hint, extensions.get_origin(hint) is not extensions.Required


def least(kind):
    """The smallest value of a type."""
    kind = next((one for one in alternatives(kind) if one is not type(None)), None)
    if extensions.is_typeddict(kind):
        return {name: least(hint) for name, hint, optional in fields(kind) if not optional}
    if extensions.get_origin(kind) in (typing.Literal, extensions.Literal):
        return extensions.get_args(kind)[0]
    if is_list(kind):
        return [least(extensions.get_args(kind)[0])]
    if extensions.get_origin(kind) is dict or kind is dict:
        return {}
    if kind in PLAIN:
        return PLAIN[kind]
    raise AssertionError(f"no value is known for {kind!r}")


def objects(kind, put, path, above):
    """Every object inside a value of this type: its type, its path, and a function that completes it to a body."""
    for one in alternatives(kind):
        if extensions.is_typeddict(one) and one not in above:
            yield one, put, path
            for name, hint, *_ in fields(one):

                def put_inside(value, name=name, one=one):
                    return put(least(one) | {name: value})

                yield from objects(hint, put_inside, f"{path}.{name}", above | {one})
        elif is_list(one):
            item = extensions.get_args(one)[0]
            yield from objects(item, lambda value: put([value]), f"{path}[]", above)
        elif extensions.get_origin(one) is dict:
            value_kind = extensions.get_args(one)[1]
            yield from objects(value_kind, lambda value: put({"x": value}), f"{path}{{}}", above)


def places(root, good):
    """Every place that may be null: its path, the body without it, and the body with it."""

    def put(name):
        # An item on its own may have no text, so a question is added.
        question = {"role": "user", "content": "hi"}
        more = {"stream": True} if name == ONLY_STREAMED else {}
        asks = name in ("messages", "input")
        return lambda value: good | more | {name: [*value, question] if asks and isinstance(value, list) else value}

    seen = set()
    for name, hint, optional in fields(root):
        if optional:
            yield name, {key: value for key, value in good.items() if key != name}, good | {name: None}
        for kind, put_inside, path in objects(hint, put(name), name, {root}):
            for inner, _, optional in fields(kind):
                if optional and (path, kind, inner) not in seen:
                    seen.add((path, kind, inner))
                    yield f"{path}.{inner}", put_inside(least(kind)), put_inside(least(kind) | {inner: None})


def said(answer):
    """The text sent upstream, which the answer repeats; for a stream its body with normalized ids and times."""
    if "text/event-stream" in answer.headers["content-type"]:
        return "".join(re.findall(r'"(?:content|delta|text)":"((?:[^"\\\\]|\\\\.)*)"', answer.text))
    told = answer.json()
    if "output" in told:
        return [item["content"][0]["text"] for item in told["output"]]
    return [choice.get("message", {}).get("content", choice.get("text")) for choice in told["choices"]]


def outcome(gateway, path, body):
    """The outcome of a request, without the parts that vary."""
    answer = ask(gateway.http, "POST", path, body, authorization=f"Bearer {gateway.key}")
    if answer.status != 200:
        error = answer.json()["error"]
        return answer.status, error["code"], error["param"]
    return 200, answer.headers.get("x-duogate-ignored"), said(answer)


def compare(gateway, path, root, good, fewest):
    """Sends every null, and the same bodies without; returns the places with different outcomes."""
    known, wrong, count, taken = {}, [], 0, 0
    for place, without, null in places(root, good):
        key = repr(without)
        if key not in known:
            known[key] = outcome(gateway, path, without)
        found = outcome(gateway, path, null)
        count, taken = count + 1, taken + (found[0] == 200)
        if found != known[key]:
            wrong.append(f"{path} {place}: {found}, and without it {known[key]}")
        # A body invalid without the null shows nothing about it; some fields the types call optional are required here.
        if known[key][1] == "invalid_request" and place not in good:
            wrong.append(f"{path} {place}: the body without it is bad: {known[key]}")
    print(f"     {path}: {count} optional fields, {taken} of the bodies answered", flush=True)
    true(count >= fewest, f"only {count} optional fields were found")
    return wrong


@check("nulls: every optional field of OpenAI's request types may be null, where nothing is left out")
def refusing(world):
    equal([wrong for endpoint in ENDPOINTS for wrong in compare(world.any, *endpoint)], [], "not absent")


@check("nulls: every optional field of OpenAI's request types may be null, where things are left out")
def leaving_out(world):
    equal([wrong for endpoint in ENDPOINTS for wrong in compare(world.agent, *endpoint)], [], "not absent")
