"""OpenAI's Python package on the endpoints other than chat: legacy completions and responses."""

import openai
from checks import check, equal, raises, true
from openai_sync import MODEL, client
from shapes import ANSWER, QUESTION

PROMPT = {"prompt": QUESTION, "max_tokens": 100}


@check("python: a legacy completion is whole")
def completion(world):
    with client(world.strict) as api:
        whole = api.completions.create(model=MODEL, **PROMPT)
    equal(whole.object, "text_completion", "object")
    choice = whole.choices[0]
    equal((choice.text, choice.index, choice.finish_reason), (ANSWER, 0, "stop"), "choice")
    equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens, "total_tokens")


@check("python: a legacy stream is whole, with usage when it is asked for")
def completion_stream(world):
    with client(world.strict) as api:
        options = {"include_usage": True}
        *chunks, last = api.completions.create(model=MODEL, stream=True, stream_options=options, **PROMPT)
    equal("".join(chunk.choices[0].text for chunk in chunks), ANSWER, "text")
    equal([chunk.choices[0].finish_reason for chunk in chunks][-1], "stop", "finish_reason")
    equal(last.choices, [], "choices of the usage chunk")
    true(last.usage.completion_tokens > 0, f"{last.usage!r}")


@check("python: several prompts are several choices")
def prompts(world):
    with client(world.strict) as api:
        whole = api.completions.create(model=MODEL, prompt=["one", "two"], n=2, echo=True)
    texts = [choice.text for choice in sorted(whole.choices, key=lambda choice: choice.index)]
    equal(texts, [f"{word}You said: {word}" for word in ("one", "one", "two", "two")], "texts")


@check("python: a cut legacy stream raises APIError")
def completion_cut(world):
    with client(world.any) as api, raises(openai.APIError) as caught:
        list(api.completions.create(model="fault:cut", stream=True, **PROMPT))
    equal(caught.error.code, "upstream_truncated", "code")


@check("python: a response is whole")
def response(world):
    with client(world.strict) as api:
        whole = api.responses.create(model=MODEL, input=QUESTION, instructions=None, metadata={"a": "b"})
    equal((whole.output_text, whole.status, whole.error), (ANSWER, "completed", None), "response")
    equal((whole.metadata, whole.model), ({"a": "b"}, MODEL), "metadata and model")
    usage = whole.usage
    equal(usage.total_tokens, usage.input_tokens + usage.output_tokens, "total_tokens")
    equal((usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens), (0, 0), "cached")
    true(whole._request_id, "no request id")


@check("python: a response's stream has every event in its order")
def response_stream(world):
    with client(world.strict) as api:
        events = list(api.responses.create(model=MODEL, input=QUESTION, stream=True))
    equal([event.sequence_number for event in events], list(range(len(events))), "sequence numbers")
    types = [event.type.removeprefix("response.") for event in events]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    wanted = ["created", "in_progress", "output_item.added", "content_part.added"]
    wanted += ["output_text.delta"] * len(deltas)
    wanted += ["output_text.done", "content_part.done", "output_item.done", "completed"]
    equal(types, wanted, "events")
    equal(("".join(deltas), events[-1].response.output_text), (ANSWER, ANSWER), "text")


@check("python: the SDK's own accumulator builds the same response, reasoning or not")
def response_accumulated(world):
    with client(world.any) as api:
        for model in ("ordinary", "dialect:reasoning"):
            with api.responses.stream(model=model, input=QUESTION) as stream:
                stream.until_done()
                whole = stream.get_final_response()
            equal(whole.output_text, ANSWER, f"{model}: text")
        equal([item.type for item in whole.output], ["reasoning", "message"], "items")
        true(whole.usage.output_tokens_details.reasoning_tokens > 0, f"{whole.usage!r}")


@check("python: a response is gone on from, looked up, listed and deleted")
def response_kept(world):
    with client(world.strict) as api:
        first = api.responses.create(model=MODEL, input=QUESTION)
        second = api.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
        wanted = f"You said: User: {QUESTION}\n\nAssistant: {ANSWER}\n\nUser: And now?"
        equal(second.output_text, wanted, "the flattened history")
        # As a client does that keeps the history itself.
        turns = [{"role": "user", "content": QUESTION}, *first.output, {"role": "user", "content": "And now?"}]
        equal(api.responses.create(model=MODEL, input=turns, store=False).output_text, wanted, "by hand")
        equal(api.responses.retrieve(first.id).output_text, ANSWER, "retrieved")
        items = list(api.responses.input_items.list(first.id))
        equal([item.content[0].text for item in items], [QUESTION], "input items")
        api.responses.delete(first.id)
        for call in (api.responses.retrieve, api.responses.delete):
            with raises(openai.NotFoundError):
                call(first.id)
        with raises(openai.BadRequestError) as caught:
            api.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
        found = (caught.error.code, caught.error.param)
        equal(found, ("previous_response_not_found", "previous_response_id"), "code and param")


@check("python: a response that is cut short is incomplete, one that is cut off raises APIError")
def response_ends(world):
    with client(world.any) as api:
        short = api.responses.create(model="ordinary", input="word " * 50, max_output_tokens=16)
        equal((short.status, short.incomplete_details.reason), ("incomplete", "max_output_tokens"), "status")
        equal(short.usage.output_tokens, 16, "output_tokens")
        events = []
        with raises(openai.APIError) as caught:
            for event in api.responses.create(model="fault:cut", input=QUESTION, stream=True):
                events.append(event)
        equal(caught.error.code, "upstream_truncated", "code")
        true("response.output_text.delta" in {event.type for event in events}, "nothing came before the cut")
        with api.responses.stream(model="fault:cut", input=QUESTION) as stream, raises(openai.APIError):
            stream.until_done()


@check("python: a response with tools raises BadRequestError that names them")
def response_tools(world):
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": False}]
    with client(world.strict) as api, raises(openai.BadRequestError) as caught:
        api.responses.create(model=MODEL, input=QUESTION, tools=tools)
    equal((caught.error.code, caught.error.param), ("unsupported_parameter", "tools"), "code and param")


def origin(gateway):
    return gateway.base_url.removesuffix("/v1")


@check("python: the client for Azure chats by the path's model, whole and streamed, and with responses")
def azure(world):
    settings = {"api_key": world.strict.key, "api_version": "2024-10-21", "timeout": 60}
    with openai.AzureOpenAI(azure_endpoint=origin(world.strict), **settings) as api:
        whole = api.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
        equal((whole.model, whole.choices[0].message.content), (MODEL, ANSWER), "the chat")
        chunks = api.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}], stream=True)
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), ANSWER, "the stream")
        equal(api.completions.create(model=MODEL, **PROMPT).choices[0].text, ANSWER, "the completion")
        equal(api.responses.create(model=MODEL, input=QUESTION).output_text, ANSWER, "the response")


@check("python: a base without /v1, with slashes too many, or with a whole endpoint is understood")
def bases(world):
    for base in ("", "/", "//v1/", "/v1/v1", "/openai/v1", "/v1/chat/completions"):
        with openai.OpenAI(base_url=origin(world.strict) + base, api_key=world.strict.key, timeout=60) as api:
            whole = api.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": QUESTION}])
            equal(whole.choices[0].message.content, ANSWER, f"the chat by way of {base!r}")
            equal(api.responses.create(model=MODEL, input=QUESTION).output_text, ANSWER, f"the response by {base!r}")
