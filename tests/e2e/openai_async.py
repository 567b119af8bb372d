"""OpenAI's Python package, the async client, with concurrent calls."""

import asyncio

import openai
from checks import check, equal, raises, true, until
from shapes import ANSWER, CHAT, QUESTION, cut, finishes, text_of, whole_chat, whole_stream
from world import CLOSED, MODELS

MODEL = MODELS[0]


def client(gateway, **settings):
    return openai.AsyncOpenAI(base_url=gateway.base_url, **{"api_key": gateway.key, "timeout": 60, **settings})


@check("python async: models are listed and retrieved")
async def models(world):
    async with client(world.strict) as api:
        ids = [model.id async for model in api.models.list()]
        equal(ids[: len(MODELS)], MODELS, "ids")
        equal((await api.models.retrieve(MODEL)).id, MODEL, "id")


@check("python async: a chat is whole")
async def chat(world):
    async with client(world.strict) as api:
        completion = await api.chat.completions.create(model=MODEL, **CHAT)
    whole_chat(completion, MODEL)
    true(completion._request_id, "no request id")


@check("python async: streams are whole, with usage and without")
async def streams(world):
    async with client(world.strict) as api:
        for usage in (False, True):
            options = {"stream_options": {"include_usage": True}} if usage else {}
            stream = await api.chat.completions.create(model=MODEL, stream=True, **options, **CHAT)
            whole_stream([chunk async for chunk in stream], MODEL, usage)


@check("python async: forty chats at once each get their own answer")
async def many(world):
    async def one(api, number):
        text = f"This is question number {number} of many."
        message = [{"role": "user", "content": text}]
        stream = await api.chat.completions.create(model=MODEL, messages=message, stream=True)
        chunks = [chunk async for chunk in stream]
        equal((text_of(chunks), finishes(chunks)), (f"You said: {text}", ["stop"]), "answer")

    async with client(world.strict) as api:
        await asyncio.gather(*(one(api, number) for number in range(40)))


@check("python async: errors are raised as their classes")
async def errors(world):
    async with client(world.strict, api_key=world.secret("sk-wrong")) as api:
        with raises(openai.AuthenticationError):
            await api.chat.completions.create(model=MODEL, **CHAT)
    async with client(world.strict) as api:
        with raises(openai.NotFoundError) as caught:
            await api.chat.completions.create(model="gpt-none", **CHAT)
        equal(caught.error.code, "model_not_found", "code")
        with raises(openai.BadRequestError) as caught:
            await api.chat.completions.create(model=MODEL, messages=[])
        equal(caught.error.param, "messages", "param")
        with raises(openai.BadRequestError):
            await api.chat.completions.create(model=MODEL, messages="hello")


@check("python async: a cut stream raises APIError from the in-band error")
async def cut_stream(world):
    chunks = []
    async with client(world.any) as api:
        with raises(openai.APIError) as caught:
            async for chunk in await api.chat.completions.create(model="fault:polite-cut", stream=True, **CHAT):
                chunks.append(chunk)
    cut(chunks, caught.error)


@check("python async: the stream helper builds the same answer")
async def helper(world):
    async with client(world.strict) as api:
        async with api.chat.completions.stream(model=MODEL, **CHAT) as stream:
            deltas = [event.delta async for event in stream if event.type == "content.delta"]
            whole = await stream.get_final_completion()
    equal(("".join(deltas), whole.choices[0].message.content), (ANSWER, ANSWER), "pieces, and the whole")


@check("python async: legacy completions are whole, and stream")
async def completions(world):
    asked = {"model": MODEL, "prompt": QUESTION, "max_tokens": 100}
    async with client(world.strict) as api:
        equal((await api.completions.create(**asked)).choices[0].text, ANSWER, "text")
        chunks = [chunk async for chunk in await api.completions.create(stream=True, **asked)]
    equal("".join(chunk.choices[0].text for chunk in chunks), ANSWER, "streamed text")


@check("python async: responses are whole, stream, are gone on from and deleted")
async def responses(world):
    async with client(world.strict) as api:
        first = await api.responses.create(model=MODEL, input=QUESTION)
        equal((first.output_text, first.status), (ANSWER, "completed"), "response")
        async with api.responses.stream(model=MODEL, input=QUESTION) as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            whole = await stream.get_final_response()
        equal(("".join(deltas), whole.output_text), (ANSWER, ANSWER), "pieces, and the whole")
        second = await api.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
        true(QUESTION in second.output_text, f"without its history: {second.output_text!r}")
        await api.responses.delete(first.id)
        with raises(openai.NotFoundError):
            await api.responses.retrieve(first.id)


@check("python async: with_raw_response and with_streaming_response give headers and answers")
async def raw(world):
    async with client(world.strict) as api:
        answer = await api.chat.completions.with_raw_response.create(model=MODEL, **CHAT)
        true(answer.headers.get("x-request-id"), "no request id")
        whole_chat(answer.parse(), MODEL)
        asked = api.chat.completions.with_streaming_response.create(model=MODEL, stream=True, **CHAT)
        async with asked as answer:
            lines = [line async for line in answer.iter_lines() if line]
    equal(lines[-1], "data: [DONE]", "the last line")


@check("python async: a client's timeout raises APITimeoutError and closes what it left")
async def timeouts(world):
    world.sim.rest()
    async with client(world.any, timeout=0.5, max_retries=0) as api:
        with raises(openai.APITimeoutError):
            await api.chat.completions.create(model="fault:stall-head", **CHAT)
    await asyncio.to_thread(world.sim.rest, CLOSED)


@check("python async: cancelling a task closes the upstream's answer")
async def cancelled(world):
    world.sim.rest()
    async with client(world.any) as api:
        asked = asyncio.create_task(api.chat.completions.create(model="fault:stall", **CHAT))
        await asyncio.to_thread(until, lambda: world.sim.open() == 1, "the answer is open upstream")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.to_thread(world.sim.rest, CLOSED)
