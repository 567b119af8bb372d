"""pydantic-ai, which validates every answer, through chat completions and responses."""

import openai
from checks import check, equal, raises, true
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelRequest, ModelResponse, SystemPromptPart, TextPart, UserPromptPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from shapes import ANSWER, COUNTING, DIALOGUE_ANSWER, QUESTION
from world import MODELS

MODEL = MODELS[0]
BOTH = (OpenAIChatModel, OpenAIResponsesModel)
HISTORY = [
    ModelRequest(parts=[SystemPromptPart("Be brief."), UserPromptPart("Hello.")]),
    ModelResponse(parts=[TextPart("Hi.")]),
]


class Sum(BaseModel):
    """What an agent may be asked for."""

    total: int


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def agent(gateway, name=MODEL, kind=OpenAIChatModel, key=None, **settings):
    provider = OpenAIProvider(base_url=gateway.base_url, api_key=key or gateway.key)
    return Agent(kind(name, provider=provider), **settings)


async def refused(status, code, asked):
    """Runs an agent whose model must refuse, and checks the error."""
    with raises(ModelHTTPError) as caught:
        await asked.run(QUESTION)
    equal((caught.error.status_code, caught.error.body["code"]), (status, code), "status and code")
    true(caught.error.body["message"] in str(caught.error), f"unreadable: {caught.error}")
    return caught.error


def some_usage(usage):
    true(usage.input_tokens > 0 and usage.output_tokens > 0, f"{usage!r}")


@check("pydantic-ai: run gives the whole answer, its end and its usage, through chat and responses")
async def run(world):
    for kind in BOTH:
        result = await agent(world.strict, kind=kind).run(QUESTION)
        equal((result.output, result.response.finish_reason), (ANSWER, "stop"), "answer and its end")
        equal(result.response.model_name, MODEL, "model")
        some_usage(result.usage)


@check("pydantic-ai: run_stream gives the same answer in pieces, with usage, through chat and responses")
async def stream(world):
    for kind in BOTH:
        async with agent(world.strict, kind=kind).run_stream(QUESTION) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        true(len(pieces) > 3, f"only {len(pieces)} pieces")
        equal(("".join(pieces), result.response.finish_reason), (ANSWER, "stop"), "answer and its end")
        some_usage(result.usage)


@check("pydantic-ai: system prompts, instructions and earlier turns reach the model, through chat and responses")
async def turns(world):
    for kind in BOTH:
        result = await agent(world.strict, kind=kind).run("And now this.", message_history=HISTORY)
        equal(result.output, DIALOGUE_ANSWER, "answer")
        told = await agent(world.strict, kind=kind, instructions="Be brief.").run("Hello.")
        equal(told.output, "You said: System: Be brief.\n\nUser: Hello.", "answer under instructions")
        more = await agent(world.strict, kind=kind).run("And now?", message_history=told.all_messages())
        # Instructions apply to one run. The answer, now a turn, is indented so that it cannot look like several.
        repeated = told.output.replace("\n\nUser", "\n\n  User")
        wanted = f"You said: User: Hello.\n\nAssistant: {repeated}\n\nUser: And now?"
        equal(more.output, wanted, "answer to what followed")


@check("pydantic-ai: stop_sequences and max_tokens are obeyed")
async def limits(world):
    result = await agent(world.strict).run(COUNTING, model_settings={"stop_sequences": ["three"]})
    equal((result.output, result.response.finish_reason), ("You said: one two ", "stop"), "stopped")
    result = await agent(world.strict).run(COUNTING, model_settings={"max_tokens": 5})
    equal((result.output, result.response.finish_reason), ("You said: one two", "length"), "cut")
    equal(result.usage.output_tokens, 5, "output_tokens")


@check("pydantic-ai: tools are refused by name; with UNSUPPORTED_PARAMS=ignore an agent with tools answers in text")
async def tools(world):
    for kind in BOTH:
        error = await refused(400, "unsupported_parameter", agent(world.strict, kind=kind, tools=[add]))
        equal(error.body["param"], "tools", "param")
        result = await agent(world.agent, kind=kind, tools=[add]).run(QUESTION)
        equal((result.output, result.usage.tool_calls), (ANSWER, 0), "answer, and calls of tools")


@check("pydantic-ai: an output type is refused by name; where it is ignored, text is not taken for it")
async def output(world):
    await refused(400, "unsupported_parameter", agent(world.strict, output_type=Sum))
    with raises(UnexpectedModelBehavior):
        await agent(world.agent, output_type=Sum).run(QUESTION)


@check("pydantic-ai: a wrong key and an unknown model raise ModelHTTPError with their statuses")
async def errors(world):
    for kind in BOTH:
        await refused(401, "invalid_api_key", agent(world.strict, kind=kind, key=world.secret("sk-wrong")))
        unknown = agent(world.strict, "gpt-none", kind)
        await refused(404, "model_not_found", unknown)
        with raises(ModelHTTPError):
            async with unknown.run_stream(QUESTION) as result:
                await result.get_output()


@check("pydantic-ai: a dead upstream and an empty pool raise ModelHTTPError, without retries of its own")
async def dead(world):
    for kind in BOTH:
        before = world.sim.answers()
        await refused(502, "upstream_unavailable", agent(world.any, "fault:502", kind))
        equal(world.sim.answers() - before, 2, "answers asked of the upstream")
        await refused(503, "no_available_tokens", agent(world.empty, kind=kind))


@check("pydantic-ai: a stream that the upstream cuts raises, through chat and responses")
async def cut(world):
    for kind in BOTH:
        pieces = []
        with raises(openai.APIError) as caught:
            async with agent(world.any, "fault:cut", kind).run_stream(QUESTION) as result:
                async for piece in result.stream_text(delta=True, debounce_by=None):
                    pieces.append(piece)
        equal(caught.error.code, "upstream_truncated", "code")
        equal("".join(pieces), "You said: ", "before the cut")
        await refused(502, "upstream_truncated", agent(world.any, "fault:cut", kind))
