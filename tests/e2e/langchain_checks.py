"""LangChain's package for OpenAI's API."""

import openai
from checks import check, equal, raises, true
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI
from shapes import ANSWER, COUNTING, DIALOGUE_ANSWER, QUESTION
from world import MODELS

MODEL = MODELS[0]
TURNS = [
    SystemMessage("Be brief."),
    HumanMessage("Hello."),
    AIMessage("Hi."),
    HumanMessage([{"type": "text", "text": "And now "}, {"type": "text", "text": "this."}]),
]


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def chat(gateway, model=MODEL, **settings):
    return ChatOpenAI(base_url=gateway.base_url, model=model, **{"api_key": gateway.key, "timeout": 60, **settings})


def some_usage(message):
    usage = message.usage_metadata
    true(usage and usage["input_tokens"] > 0 and usage["output_tokens"] > 0, f"usage {usage!r}")
    equal(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"], "total_tokens")


def joined(chunks):
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def refused(kind, code, model, ask):
    """Calls it, and checks the error; LangChain's own classes derive from OpenAI's."""
    with raises(kind, exactly=False) as caught:
        ask(model)
    equal(caught.error.code, code, "code")
    true(caught.error.body["message"] in str(caught.error), f"unreadable: {caught.error}")
    return caught.error


@check("langchain: invoke and ainvoke give the whole answer, its end and its usage")
async def invoke(world):
    model = chat(world.strict)
    for message in (model.invoke(QUESTION), await model.ainvoke(QUESTION)):
        equal((message.text, message.response_metadata["finish_reason"]), (ANSWER, "stop"), "answer and its end")
        equal(message.response_metadata["model_name"], MODEL, "model")
        some_usage(message)


@check("langchain: stream and astream give the same answer in pieces, with usage where it is wanted")
async def stream(world):
    model = chat(world.strict, stream_usage=True)
    for chunks in (list(model.stream(QUESTION)), [chunk async for chunk in model.astream(QUESTION)]):
        whole = joined(chunks)
        equal((whole.text, whole.response_metadata["finish_reason"]), (ANSWER, "stop"), "answer and its end")
        some_usage(whole)
    equal(joined(list(chat(world.strict).stream(QUESTION))).usage_metadata, None, "usage that nobody asked for")


@check("langchain: system messages and earlier turns reach the model, also where its name makes them developer's")
def turns(world):
    for model in (MODEL, "o4-Default"):
        equal(chat(world.strict, model).invoke(TURNS).text, DIALOGUE_ANSWER, f"answer of {model}")
        equal(joined(list(chat(world.strict, model).stream(TURNS))).text, DIALOGUE_ANSWER, f"stream of {model}")


@check("langchain: stop and max_tokens are obeyed")
def limits(world):
    message = chat(world.strict).invoke(COUNTING, stop=["four", "three"])
    equal((message.text, message.response_metadata["finish_reason"]), ("You said: one two ", "stop"), "stopped")
    message = chat(world.strict, max_tokens=5).invoke(COUNTING)
    equal((message.text, message.response_metadata["finish_reason"]), ("You said: one two", "length"), "cut")
    equal(message.usage_metadata["output_tokens"], 5, "output_tokens")


@check("langchain: batch and abatch answer each question with its own answer")
async def batch(world):
    questions = [f"This is question number {number} of many." for number in range(12)]
    wanted = [f"You said: {question}" for question in questions]
    model = chat(world.strict)
    equal([message.text for message in model.batch(questions)], wanted, "batch")
    equal([message.text for message in await model.abatch(questions)], wanted, "abatch")
    mixed = chat(world.any).batch(questions[:2], return_exceptions=True)
    equal([message.text for message in mixed], wanted[:2], "batch of two")


@check("langchain: tools and schemas are refused by name; with UNSUPPORTED_PARAMS=ignore tools are answered as text")
def tools(world):
    error = refused(
        openai.BadRequestError,
        "unsupported_parameter",
        chat(world.strict).bind_tools([add]),
        lambda model: model.invoke("What is 2 + 2?"),
    )
    equal(error.param, "tools", "param")
    schema = {"title": "Sum", "type": "object", "properties": {"sum": {"type": "integer"}}}
    structured = chat(world.strict).with_structured_output(schema)
    error = refused(openai.BadRequestError, "unsupported_parameter", structured, lambda it: it.invoke("2 + 2?"))
    equal(error.param, "response_format", "param")
    message = chat(world.agent).bind_tools([add]).invoke("What is 2 + 2?")
    equal((message.text, message.tool_calls), ("You said: What is 2 + 2?", []), "answer and calls of tools")


@check("langchain: a wrong key, an unknown model and a timeout raise their classes")
def errors(world):
    wrong = chat(world.strict, api_key=world.secret("sk-wrong"))
    refused(openai.AuthenticationError, "invalid_api_key", wrong, lambda model: model.invoke(QUESTION))
    for ask in (lambda model: model.invoke(QUESTION), lambda model: list(model.stream(QUESTION))):
        refused(openai.NotFoundError, "model_not_found", chat(world.strict, "gpt-none"), ask)
    with raises(openai.APITimeoutError, exactly=False):
        chat(world.any, "fault:stall-head", timeout=0.5, max_retries=0).invoke(QUESTION)


@check("langchain: a dead upstream and an empty pool raise InternalServerError, without retries of its own")
def dead(world):
    before = world.sim.answers()
    ask = chat(world.any, "fault:502")
    refused(openai.InternalServerError, "upstream_unavailable", ask, lambda model: model.invoke(QUESTION))
    equal(world.sim.answers() - before, 2, "answers asked of the upstream")
    error = refused(
        openai.InternalServerError, "no_available_tokens", chat(world.empty), lambda model: model.invoke(QUESTION)
    )
    equal(error.request.headers["x-stainless-retry-count"], "0", "retries")


@check("langchain: a stream that the upstream cuts raises, through chat and through responses")
def cut(world):
    for responses in (False, True):
        model = chat(world.any, "fault:cut", use_responses_api=responses)
        chunks = []
        with raises(openai.APIError) as caught:
            for chunk in model.stream(QUESTION):
                chunks.append(chunk)
        equal(caught.error.code, "upstream_truncated", "code")
        text = joined(chunks).text
        true(text and ANSWER.startswith(text) and text != ANSWER, f"before the cut: {text!r}")
        refused(openai.InternalServerError, "upstream_truncated", model, lambda it: it.invoke(QUESTION))


@check("langchain: through the responses API it is the same, and goes on from the response before")
def responses(world):
    model = chat(world.strict, use_responses_api=True)
    first = model.invoke(TURNS)
    equal((first.text, first.response_metadata["status"]), (DIALOGUE_ANSWER, "completed"), "answer and status")
    some_usage(first)
    streamed = joined(list(model.stream(TURNS)))
    equal(streamed.text, DIALOGUE_ANSWER, "stream")
    some_usage(streamed)
    kept = chat(world.strict, use_responses_api=True, use_previous_response_id=True)
    begun = [HumanMessage("Hello.")]
    begun += [kept.invoke(begun), HumanMessage("And now?")]
    wanted = "You said: User: Hello.\n\nAssistant: You said: Hello.\n\nUser: And now?"
    equal(kept.invoke(begun).text, wanted, "answer to what followed")


@check("langchain: the legacy OpenAI() completes and streams")
def legacy(world):
    model = OpenAI(base_url=world.strict.base_url, api_key=world.strict.key, model=MODEL)
    equal(model.invoke(QUESTION), ANSWER, "completion")
    equal("".join(model.stream(QUESTION)), ANSWER, "stream")
    equal(model.batch(["one", "two"]), ["You said: one", "You said: two"], "batch")
