"""litellm as a client, by its `openai/` prefix."""

import litellm
import openai
from checks import check, equal, raises, true
from shapes import ANSWER, COUNTING, DIALOGUE, DIALOGUE_ANSWER, QUESTION, finishes, some_usage, text_of
from world import MODELS

MODEL = MODELS[0]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
# Otherwise it prints advice with every error.
litellm.suppress_debug_info = True
litellm.telemetry = False
# It streams responses only for models it knows; for others it requests whole ones and simulates the stream.
KNOWN = {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}
litellm.register_model({f"openai/{model}": KNOWN for model in (MODEL, "fault:cut")})


def where(gateway, model, key):
    return {"model": f"openai/{model}", "api_base": gateway.base_url, "api_key": key or gateway.key, "timeout": 60}


def asked(gateway, model=MODEL, key=None, **more):
    return where(gateway, model, key) | {"messages": [{"role": "user", "content": QUESTION}]} | more


def responded(gateway, model=MODEL, key=None, **more):
    return where(gateway, model, key) | {"input": QUESTION} | more


def refused(kind, call, request, text):
    """Makes a call that must fail, and checks that the gateway's message is passed on."""
    with raises(kind) as caught:
        call(**request)
    true(text in str(caught.error), f"unreadable: {caught.error}")
    return caught.error


def whole(completion, answer=ANSWER, reason="stop"):
    choice = completion.choices[0]
    equal((choice.message.content, choice.finish_reason), (answer, reason), "answer and its end")
    some_usage(completion.usage)


@check("litellm: completion and acompletion give the whole answer, its end and its usage")
async def completion(world):
    whole(litellm.completion(**asked(world.strict)))
    whole(await litellm.acompletion(**asked(world.strict)))
    whole(litellm.completion(**asked(world.strict, messages=DIALOGUE)), DIALOGUE_ANSWER)


@check("litellm: streams give the same answer in pieces, with usage where it is wanted")
async def stream(world):
    request = asked(world.strict, stream=True, stream_options={"include_usage": True})
    streams = list(litellm.completion(**request)), [chunk async for chunk in await litellm.acompletion(**request)]
    for chunks in streams:
        equal((text_of(chunks), finishes(chunks)), (ANSWER, ["stop"]), "answer and its end")
        some_usage(chunks[-1].usage)
        rebuilt = litellm.stream_chunk_builder(chunks)
        whole(rebuilt)


@check("litellm: stop and max_tokens are obeyed")
def limits(world):
    count = [{"role": "user", "content": COUNTING}]
    whole(litellm.completion(**asked(world.strict, messages=count, stop=["three"])), "You said: one two ")
    for name in ("max_tokens", "max_completion_tokens"):
        cut = litellm.completion(**asked(world.strict, messages=count, **{name: 5}))
        whole(cut, "You said: one two", "length")


@check("litellm: tools are refused by name, or answered as text with UNSUPPORTED_PARAMS=ignore")
def tools(world):
    request = asked(world.strict, tools=TOOLS)
    error = refused(litellm.BadRequestError, litellm.completion, request, "Unsupported parameter: 'tools'")
    equal((error.status_code, error.body["code"]), (400, "unsupported_parameter"), "status and code")
    answer = litellm.completion(**asked(world.agent, tools=TOOLS, tool_choice="auto"))
    whole(answer)
    equal(answer.choices[0].message.tool_calls, None, "calls of tools")


@check("litellm: a wrong key, an unknown model and a timeout raise their classes")
def errors(world):
    wrong = world.secret("sk-wrong")
    call = litellm.completion
    refused(litellm.AuthenticationError, call, asked(world.strict, key=wrong), "Incorrect API key provided")
    for more in ({}, {"stream": True}):
        unknown = asked(world.strict, "gpt-none", **more)
        refused(litellm.NotFoundError, call, unknown, "The model `gpt-none` does not exist")
    late = asked(world.any, "fault:stall-head", timeout=0.5, max_retries=0)
    with raises(litellm.Timeout):
        litellm.completion(**late)


@check("litellm: a dead upstream is a bad gateway and an empty pool an unavailable service, without retries of its own")
def dead(world):
    before = world.sim.answers()
    call = litellm.completion
    error = refused(litellm.BadGatewayError, call, asked(world.any, "fault:502"), "The upstream failed")
    equal((error.status_code, world.sim.answers() - before), (502, 2), "status, and answers asked of the upstream")
    error = refused(litellm.ServiceUnavailableError, call, asked(world.empty), "TOKEN_POOL is empty")
    equal(error.status_code, 503, "status")


@check("litellm: a stream that the upstream cuts raises")
async def cut(world):
    request = asked(world.any, "fault:cut", stream=True)
    chunks = []
    with raises(openai.APIError, exactly=False) as caught:
        for chunk in litellm.completion(**request):
            chunks.append(chunk)
    true("broke off in the middle" in str(caught.error), f"unreadable: {caught.error}")
    equal((text_of(chunks), finishes(chunks)), ("You said: ", []), "before the cut")
    chunks = []
    with raises(openai.APIError, exactly=False):
        async for chunk in await litellm.acompletion(**request):
            chunks.append(chunk)
    equal((text_of(chunks), finishes(chunks)), ("You said: ", []), "before the cut")


@check("litellm: responses() is whole, streams and goes on from the response before")
def responses(world):
    first = litellm.responses(**responded(world.strict))
    equal((first.output[0].content[0].text, first.status), (ANSWER, "completed"), "response")
    equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens, "total_tokens")
    events = list(litellm.responses(**responded(world.strict, stream=True)))
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), ANSWER, "stream")
    equal(events[-1].type, "response.completed", "the last event")
    more = responded(world.strict, input="And now?", previous_response_id=first.id)
    wanted = f"You said: User: {QUESTION}\n\nAssistant: {ANSWER}\n\nUser: And now?"
    equal(litellm.responses(**more).output[0].content[0].text, wanted, "answer to what followed")


@check("litellm: responses() raises the same classes, in the middle of a stream too")
def responses_errors(world):
    call = litellm.responses
    refused(litellm.NotFoundError, call, responded(world.strict, "gpt-none"), "model_not_found")
    wrong = world.secret("sk-wrong")
    refused(litellm.AuthenticationError, call, responded(world.strict, key=wrong), "invalid_api_key")
    before = world.sim.answers()
    events = []
    with raises(openai.APIError, exactly=False) as caught:
        for event in litellm.responses(**responded(world.any, "fault:cut", stream=True)):
            events.append(event)
    true("broke off in the middle" in str(caught.error), f"unreadable: {caught.error}")
    equal(world.sim.answers() - before, 1, "answers asked of the upstream")
    true("response.output_text.delta" in [event.type for event in events], "nothing came before the cut")


@check("litellm: text_completion completes")
def legacy(world):
    request = where(world.strict, MODEL, None) | {"model": f"text-completion-openai/{MODEL}"}
    answer = litellm.text_completion(prompt=QUESTION, max_tokens=100, **request)
    equal((answer.choices[0].text, answer.choices[0].finish_reason), (ANSWER, "stop"), "text and its end")
    some_usage(answer.usage)
