"""OpenAI's Python package, the blocking client."""

import openai
from checks import check, equal, raises, true
from shapes import ANSWER, CHAT, DIALOGUE, DIALOGUE_ANSWER, cut, text_of, whole_chat, whole_stream
from world import CLOSED, MODELS

MODEL = MODELS[0]


def client(gateway, **settings):
    return openai.OpenAI(base_url=gateway.base_url, **{"api_key": gateway.key, "timeout": 60, **settings})


@check("python: models.list tells the configured models in their order")
def models_list(world):
    with client(world.strict) as api:
        page = api.models.list()
    equal(page.object, "list", "object")
    equal([model.id for model in page.data][: len(MODELS)], MODELS, "ids")
    for model in page.data:
        equal(model.object, "model", "object")
        true(model.created > 0 and model.owned_by, f"{model!r}")


@check("python: models.list is empty where any model is let through")
def models_empty(world):
    with client(world.any) as api:
        equal(api.models.list().data, [], "data")


@check("python: models.retrieve finds names with spaces and slashes, and aliases")
def models_retrieve(world):
    with client(world.strict) as api:
        for name in [*MODELS, "fast"]:
            equal(api.models.retrieve(name).id, name, "id")
        with raises(openai.NotFoundError) as caught:
            api.models.retrieve("no such model")
    equal(caught.error.code, "model_not_found", "code")


@check("python: a chat is whole")
def chat(world):
    with client(world.strict) as api:
        for model in (MODEL, "fast"):
            completion = api.chat.completions.create(model=model, **CHAT)
            whole_chat(completion, model)
            true(completion._request_id, "no request id")


@check("python: parts, system messages and earlier turns reach the model")
def dialogue(world):
    with client(world.strict) as api:
        completion = api.chat.completions.create(model=MODEL, messages=DIALOGUE, temperature=0.5, max_tokens=9000)
    equal(completion.choices[0].message.content, DIALOGUE_ANSWER, "the flattened text")


@check("python: a stream is whole and tells no usage unasked")
def stream(world):
    with client(world.strict) as api:
        chunks = list(api.chat.completions.create(model=MODEL, stream=True, **CHAT))
    whole_stream(chunks, MODEL, usage=False)


@check("python: include_usage adds one last chunk with usage and no choices")
def stream_usage(world):
    with client(world.strict) as api:
        options = {"include_usage": True}
        chunks = list(api.chat.completions.create(model=MODEL, stream=True, stream_options=options, **CHAT))
    whole_stream(chunks, MODEL, usage=True)


@check("python: the SDK's own accumulator builds the same answer")
def accumulated(world):
    with client(world.strict) as api:
        with api.chat.completions.stream(model=MODEL, **CHAT) as stream:
            stream.until_done()
            whole = stream.get_final_completion()
    equal(whole.choices[0].message.content, ANSWER, "content")
    equal(whole.choices[0].finish_reason, "stop", "finish_reason")


@check("python: a wrong key raises AuthenticationError")
def wrong_key(world):
    with client(world.strict, api_key=world.secret("sk-wrong")) as api:
        with raises(openai.AuthenticationError) as caught:
            api.models.list()
    equal((caught.error.status_code, caught.error.code), (401, "invalid_api_key"), "status and code")
    true(caught.error.request_id, "no request id")


@check("python: an unknown model raises NotFoundError with code model_not_found")
def unknown_model(world):
    with client(world.strict) as api:
        for streamed in (False, True):
            with raises(openai.NotFoundError) as caught:
                api.chat.completions.create(model="gpt-none", stream=streamed, **CHAT)
            equal((caught.error.code, caught.error.type), ("model_not_found", "invalid_request_error"), "code, type")


@check("python: empty messages raise BadRequestError that names them")
def empty_messages(world):
    with client(world.strict) as api:
        with raises(openai.BadRequestError) as caught:
            api.chat.completions.create(model=MODEL, messages=[])
    equal(caught.error.param, "messages", "param")


@check("python: wrong types and values out of range raise BadRequestError that names the field")
def wrong_types(world):
    wrong = {
        "temperature": {"temperature": 3},
        "top_p": {"top_p": "much"},
        "messages": {"messages": "hello"},
        "stream": {"extra_body": {"stream": "perhaps"}},
        "messages[0].role": {"messages": [{"role": "wizard", "content": "hi"}]},
        "messages[0].content": {"messages": [{"role": "user", "content": 5}]},
        "stream_options": {"stream_options": {"include_usage": True}},
    }
    with client(world.strict) as api:
        for param, fields in wrong.items():
            with raises(openai.BadRequestError) as caught:
                api.chat.completions.create(**({"model": MODEL} | CHAT | fields))
            equal(caught.error.param, param, f"param of {caught.error}")


@check("python: a cut stream raises APIError from the in-band error, after content and without a finish")
def cut_stream(world):
    chunks = []
    with client(world.any) as api:
        with raises(openai.APIError) as caught:
            for chunk in api.chat.completions.create(model="fault:cut", stream=True, **CHAT):
                chunks.append(chunk)
    cut(chunks, caught.error)


@check("python: the SDK's retries do not multiply the gateway's own")
def no_multiplied_retries(world):
    before = world.sim.answers()
    with client(world.any) as api:
        equal(api.max_retries, 2, "the SDK's default")
        with raises(openai.InternalServerError) as caught:
            api.chat.completions.create(model="fault:502", **CHAT)
    equal(caught.error.status_code, 502, "status")
    equal(caught.error.response.headers.get("x-should-retry"), "false", "x-should-retry")
    # One try and one retry (MAX_RETRIES=1), within one request of the client.
    equal(world.sim.answers() - before, 2, "answers asked of the upstream")


@check("python: a client that leaves in mid-stream closes the upstream's answer")
def leaves(world):
    world.sim.rest()
    with client(world.any) as api:
        stream = api.chat.completions.create(model="fault:stall", stream=True, **CHAT)
        chunks = []
        for chunk in stream:
            chunks.append(chunk)
            if text_of(chunks):
                break
        equal(world.sim.open(), 1, "open answers while the client listens")
        stream.close()
        world.sim.rest(CLOSED)
