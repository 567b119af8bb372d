"""OpenAI's Python package, the async client; many at once is what it is for."""

import asyncio

import openai
from checks import check, equal, raises, true, until
from shapes import CHAT, cut, finishes, text_of, whole_chat, whole_stream
from world import CLOSED, MODELS

MODEL = MODELS[0]


def client(gateway, **settings):
    return openai.AsyncOpenAI(base_url=gateway.base_url, timeout=60, **{"api_key": gateway.key, **settings})


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


@check("python async: cancelling a task closes the upstream's answer")
async def cancelled(world):
    world.sim.rest()
    async with client(world.any) as api:
        asked = asyncio.create_task(api.chat.completions.create(model="fault:stall", **CHAT))
        await asyncio.to_thread(until, lambda: world.sim.open() == 1, "the answer is open upstream")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await asyncio.to_thread(world.sim.rest, CLOSED)
