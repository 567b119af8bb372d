"""Null of an optional field is absent: every optional field of the request types of OpenAI's Python package, found by
walking its types, is sent as null, and must be taken as if it were not there."""

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

# The path of each endpoint, the type of its body, a good body, and the fewest places that may be found.
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
# What no type tells: this goes only with a stream.
ONLY_STREAMED = "stream_options"
PLAIN = {str: "x", int: 1, float: 0.5, bool: False, object: {}, typing.Any: {}}
LISTS = (list, Iterable, Sequence)


def alternatives(kind):
    """What a value of this type may be, without the names around it."""
    origin = extensions.get_origin(kind)
    if origin in (extensions.Required, extensions.NotRequired, extensions.Annotated):
        return alternatives(extensions.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for part in extensions.get_args(kind) for one in alternatives(part)]
    return [kind]


def is_list(kind):
    origin = extensions.get_origin(kind)
    # The last is the package's own name for a sequence that is no text.
    return origin in LISTS or getattr(origin, "__name__", "") == "SequenceNotStr"


def fields(kind):
    """The fields of a TypedDict: name, type, and whether it is optional."""
    for name, hint in extensions.get_type_hints(kind, include_extras=True).items():
        # The types are given as texts, of which `__required_keys__` knows nothing.
        yield name, hint, extensions.get_origin(hint) is not extensions.Required


def least(kind):
    """The least value of a type."""
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
    """Every object that a value of this type may hold: its type, its path, and what makes a whole body of it."""
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
    """Every place where null may stand: its path, the body without it, and the body with it."""

    def put(name):
        # What stands alone may say nothing, so a question goes with it.
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
    """What the upstream was told, which it says back; a stream is taken as it is but for its ids and times."""
    if "text/event-stream" in answer.headers["content-type"]:
        return "".join(re.findall(r'"(?:content|delta|text)":"((?:[^"\\\\]|\\\\.)*)"', answer.text))
    told = answer.json()
    if "output" in told:
        return [item["content"][0]["text"] for item in told["output"]]
    return [choice.get("message", {}).get("content", choice.get("text")) for choice in told["choices"]]


def outcome(gateway, path, body):
    """What an answer comes to, without what differs from one to the next."""
    answer = ask(gateway.http, "POST", path, body, authorization=f"Bearer {gateway.key}")
    if answer.status != 200:
        error = answer.json()["error"]
        return answer.status, error["code"], error["param"]
    return 200, answer.headers.get("x-duogate-ignored"), said(answer)


def compare(gateway, path, root, good, fewest):
    """Sends every null, and the same bodies without; returns those that fared otherwise."""
    known, wrong, count, taken = {}, [], 0, 0
    for place, without, null in places(root, good):
        key = repr(without)
        if key not in known:
            known[key] = outcome(gateway, path, without)
        found = outcome(gateway, path, null)
        count, taken = count + 1, taken + (found[0] == 200)
        if found != known[key]:
            wrong.append(f"{path} {place}: {found}, and without it {known[key]}")
        # A body that is wrong anyway would say nothing of null; some of what the types call optional is needed here.
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
