"""OpenAI's Python package: the exceptions not in openai_sync.py, timeouts and retries.

PermissionDeniedError, ConflictError, UnprocessableEntityError and RateLimitError have no check: nothing that the
gateway answers today is a 403, 409, 422 or 429 (pool_checks.py: the upstream's own never come through).
"""

import socket

import openai
from checks import check, equal, raises, true
from openai_sync import MODEL, client
from pydantic import BaseModel
from shapes import ANSWER, CHAT, QUESTION
from world import CLOSED


class Verdict(BaseModel):
    """What a caller may want instead of text."""

    good: bool


@check("python: 404, 405, 413 and 415 raise their classes, with code and request id")
def statuses(world):
    large = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 70_000}]}
    plain = {"model": MODEL, "extra_headers": {"Content-Type": "text/plain"}} | CHAT
    with client(world.strict) as api:
        calls = {
            "unknown_url": (openai.NotFoundError, 404, lambda: api.get("/nonsense", cast_to=object)),
            "method_not_supported": (openai.APIStatusError, 405, lambda: api.get("/chat/completions", cast_to=object)),
            "request_too_large": (openai.APIStatusError, 413, lambda: api.chat.completions.create(**large)),
            "unsupported_media_type": (openai.APIStatusError, 415, lambda: api.chat.completions.create(**plain)),
        }
        for code, (kind, status, call) in calls.items():
            with raises(kind) as caught:
                call()
            found = (caught.error.status_code, caught.error.code, caught.error.type)
            equal(found, (status, code, "invalid_request_error"), "status, code and type")
            true(caught.error.request_id and caught.error.message, f"{code}: no request id or no message")


@check("python: what the upstream calls wrong raises BadRequestError, once")
def refused(world):
    before = world.sim.answers()
    with client(world.any) as api, raises(openai.BadRequestError) as caught:
        api.chat.completions.create(model="fault:400", **CHAT)
    equal(caught.error.code, "upstream_refused", "code")
    equal(world.sim.answers() - before, 1, "answers asked of the upstream")


@check("python: a pool without tokens raises InternalServerError, and the SDK does not try again")
def empty(world):
    before = world.sim.answers()
    with client(world.empty) as api:
        for streamed in (False, True):
            with raises(openai.InternalServerError) as caught:
                api.chat.completions.create(model="any", stream=streamed, **CHAT)
            equal((caught.error.status_code, caught.error.code), (503, "no_available_tokens"), "status and code")
            retries = caught.error.request.headers.get("x-stainless-retry-count")
            equal(retries, "0", "retries of the SDK")
    equal(world.sim.answers() - before, 0, "answers asked of the upstream")


@check("python: where nobody listens it raises APIConnectionError")
def nobody(world):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with openai.OpenAI(base_url=address, api_key=world.strict.key, max_retries=0) as api:
            with raises(openai.APIConnectionError):
                api.chat.completions.create(model=MODEL, **CHAT)


@check("python: a client's timeout raises APITimeoutError, is tried again and closes what it left")
def timeouts(world):
    world.sim.rest()
    before = world.sim.answers()
    with client(world.any, timeout=0.5, max_retries=1) as api:
        for create, asked in ((api.chat.completions.create, CHAT), (api.responses.create, {"input": QUESTION})):
            with raises(openai.APITimeoutError):
                create(model="fault:stall-head", **asked)
            world.sim.rest(CLOSED)
    equal(world.sim.answers() - before, 4, "answers asked of the upstream")
    # A timeout for this request only.
    with client(world.any) as api, raises(openai.APITimeoutError):
        api.with_options(timeout=0.5, max_retries=0).chat.completions.create(model="fault:stall-head", **CHAT)
    world.sim.rest(CLOSED)


@check("python: parse() tells a cut answer and a filtered one from a wrong one")
def parse(world):
    wrong = {
        "finish:length": openai.LengthFinishReasonError,
        "finish:content_filter": openai.ContentFilterFinishReasonError,
    }
    with client(world.agent) as api:
        for model, kind in wrong.items():
            with raises(kind):
                api.chat.completions.parse(model=model, response_format=Verdict, **CHAT)
    with client(world.strict) as api, raises(openai.BadRequestError) as caught:
        api.chat.completions.parse(model=MODEL, response_format=Verdict, **CHAT)
    equal((caught.error.code, caught.error.param), ("unsupported_parameter", "response_format"), "code and param")


@check("python: every answer passes the SDK's strict validation")
def valid(world):
    with client(world.strict, _strict_response_validation=True) as api:
        equal(api.chat.completions.create(model=MODEL, **CHAT).choices[0].message.content, ANSWER, "chat")
        equal(api.completions.create(model=MODEL, prompt=QUESTION, max_tokens=99).choices[0].text, ANSWER, "completion")
        kept = api.responses.create(model=MODEL, input=QUESTION)
        equal(kept.output_text, ANSWER, "response")
        equal(api.responses.retrieve(kept.id).output_text, ANSWER, "kept response")
        equal(api.models.retrieve(MODEL).id, MODEL, "model")
        true(api.models.list().data, "no models")
        # Not the legacy stream: its finish_reason is null until the end, which the SDK's own type does not foresee.
        streams = (
            api.chat.completions.create(model=MODEL, stream=True, stream_options={"include_usage": True}, **CHAT),
            api.responses.create(model=MODEL, input=QUESTION, stream=True),
        )
        for stream in streams:
            true(len(list(stream)) > 3, "a stream of hardly anything")
