"""LlamaIndex's OpenAILike, by default (legacy completions) and with is_chat_model=True."""

import openai
from checks import check, equal, raises, true
from llama_index.core.llms import ChatMessage, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from shapes import ANSWER, COUNTING, DIALOGUE_ANSWER, QUESTION
from world import MODELS

MODEL = MODELS[0]
TURNS = [
    ChatMessage("Be brief.", role="system"),
    ChatMessage("Hello.", role="user"),
    ChatMessage("Hi.", role="assistant"),
    ChatMessage([TextBlock(text="And now "), TextBlock(text="this.")], role="user"),
]
# LlamaIndex's text for several turns in a legacy completion.
ONE_TEXT = "system: Be brief.\nuser: Hello.\nassistant: Hi.\nuser: And now \nthis.\nassistant: "
# Disables its own retries, which ignore the gateway's hints; the gateway has retried already.
SETTINGS = {"max_retries": 0, "timeout": 60, "max_tokens": 200}
BOTH = (False, True)


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def model(gateway, name=MODEL, chat=True, **settings):
    given = {"api_key": gateway.key, **SETTINGS, **settings}
    return OpenAILike(model=name, api_base=gateway.base_url, is_chat_model=chat, **given)


def refused(kind, code, ask):
    with raises(kind) as caught:
        ask()
    equal(caught.error.code, code, "code")
    return caught.error


def some_usage(told):
    true(told["prompt_tokens"] > 0 and told["completion_tokens"] > 0, f"usage {told!r}")
    equal(told["total_tokens"], told["prompt_tokens"] + told["completion_tokens"], "total_tokens")


@check("llama_index: complete and acomplete give the whole answer and its usage, legacy and chat")
async def complete(world):
    for chat in BOTH:
        llm = model(world.strict, chat=chat)
        for answer in (llm.complete(QUESTION), await llm.acomplete(QUESTION)):
            equal((answer.text, answer.raw.choices[0].finish_reason), (ANSWER, "stop"), "answer and its end")
            equal(answer.raw.object, "chat.completion" if chat else "text_completion", "object")
            some_usage(answer.additional_kwargs)


@check("llama_index: streams give the same answer in pieces, legacy and chat")
async def stream(world):
    for chat in BOTH:
        llm = model(world.strict, chat=chat)
        pieces = list(llm.stream_complete(QUESTION))
        equal("".join(piece.delta or "" for piece in pieces), ANSWER, "pieces")
        equal((pieces[-1].text, pieces[-1].raw.choices[0].finish_reason), (ANSWER, "stop"), "answer and its end")
        pieces = [piece async for piece in await llm.astream_complete(QUESTION)]
        equal(pieces[-1].text, ANSWER, "async")


@check("llama_index: system messages and earlier turns reach a chat model")
async def turns(world):
    llm = model(world.strict)
    for answer in (llm.chat(TURNS), await llm.achat(TURNS)):
        equal((answer.message.content, answer.message.role), (DIALOGUE_ANSWER, "assistant"), "answer")
        some_usage(answer.additional_kwargs)
    equal(list(llm.stream_chat(TURNS))[-1].message.content, DIALOGUE_ANSWER, "stream")
    pieces = [piece async for piece in await llm.astream_chat(TURNS)]
    equal(pieces[-1].message.content, DIALOGUE_ANSWER, "async stream")


@check("llama_index: without is_chat_model turns are one text to complete")
def turns_as_text(world):
    llm = model(world.strict, chat=False)
    equal(llm.chat(TURNS).message.content, f"You said: {ONE_TEXT}", "answer")
    equal(list(llm.stream_chat(TURNS))[-1].message.content, f"You said: {ONE_TEXT}", "stream")
    # OpenAI's own default limit, recognizable by a short answer.
    short = model(world.strict, chat=False, max_tokens=None).complete("word " * 50)
    equal((short.raw.choices[0].finish_reason, short.raw.usage.completion_tokens), ("length", 16), "its end")


@check("llama_index: stop and max_tokens are obeyed, legacy and chat")
def limits(world):
    for chat in BOTH:
        answer = model(world.strict, chat=chat).complete(COUNTING, stop=["three"])
        equal((answer.text, answer.raw.choices[0].finish_reason), ("You said: one two ", "stop"), "stopped")
        answer = model(world.strict, chat=chat, max_tokens=5).complete(COUNTING)
        equal((answer.text, answer.raw.choices[0].finish_reason), ("You said: one two", "length"), "cut")


@check("llama_index: tools are refused by name, or answered as text with UNSUPPORTED_PARAMS=ignore")
def tools(world):
    offered = [FunctionTool.from_defaults(add)]
    llm = model(world.strict, is_function_calling_model=True)
    error = refused(openai.BadRequestError, "unsupported_parameter", lambda: llm.chat_with_tools(offered, "2 + 2?"))
    equal(error.param, "tools", "param")
    agent = model(world.agent, is_function_calling_model=True)
    answer = agent.chat_with_tools(offered, "2 + 2?")
    equal(answer.message.content, "You said: 2 + 2?", "answer")
    equal(agent.get_tool_calls_from_response(answer, error_on_no_tool_call=False), [], "calls of tools")


@check("llama_index: a wrong key, an unknown model and a timeout raise their classes, legacy and chat")
def errors(world):
    for chat in BOTH:
        wrong = model(world.strict, chat=chat, api_key=world.secret("sk-wrong"))
        refused(openai.AuthenticationError, "invalid_api_key", lambda: wrong.complete(QUESTION))
        unknown = model(world.strict, "gpt-none", chat)
        refused(openai.NotFoundError, "model_not_found", lambda: unknown.complete(QUESTION))
        refused(openai.NotFoundError, "model_not_found", lambda: list(unknown.stream_complete(QUESTION)))
        with raises(openai.APITimeoutError):
            model(world.any, "fault:stall-head", chat, timeout=0.5).complete(QUESTION)


@check("llama_index: a dead upstream and an empty pool raise InternalServerError, once with max_retries=0")
def dead(world):
    for chat in BOTH:
        before = world.sim.answers()
        llm = model(world.any, "fault:502", chat)
        refused(openai.InternalServerError, "upstream_unavailable", lambda: llm.complete(QUESTION))
        equal(world.sim.answers() - before, 2, "answers asked of the upstream")
        llm = model(world.empty, chat=chat)
        refused(openai.InternalServerError, "no_available_tokens", lambda: llm.complete(QUESTION))


@check("llama_index: a stream that the upstream cuts raises, legacy and chat")
async def cut(world):
    for chat in BOTH:
        llm = model(world.any, "fault:cut", chat)
        pieces = []
        with raises(openai.APIError) as caught:
            for piece in llm.stream_complete(QUESTION):
                pieces.append(piece)
        equal(caught.error.code, "upstream_truncated", "code")
        equal(pieces[-1].text, "You said: ", "before the cut")
        with raises(openai.APIError):
            [piece async for piece in await llm.astream_chat(TURNS)]
        refused(openai.InternalServerError, "upstream_truncated", lambda: llm.complete(QUESTION))
