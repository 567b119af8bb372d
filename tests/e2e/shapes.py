"""The expected form of answers in OpenAI's SDK, shared by the sync and async checks."""

from checks import equal, true

QUESTION = "Tell me: what is a gateway, in plain words? Größe, 猫, 🦀."
ANSWER = f"You said: {QUESTION}"
CHAT = {"messages": [{"role": "user", "content": QUESTION}]}
# Several speakers are joined into one text, which the simulator repeats.
DIALOGUE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": [{"type": "text", "text": "And now "}, {"type": "text", "text": "this."}]},
]
DIALOGUE_ANSWER = "You said: System: Be brief.\n\nUser: Hello.\n\nAssistant: Hi.\n\nUser: And now this."
# A text for stop sequences and token limits: one token per word.
COUNTING = "one two three four five six seven eight nine ten"


def whole_chat(completion, model, answer=ANSWER):
    equal(completion.object, "chat.completion", "object")
    equal(completion.model, model, "model")
    true(completion.id.startswith("chatcmpl-"), f"id {completion.id!r}")
    true(completion.created > 1_600_000_000, f"created {completion.created!r}")
    equal(len(completion.choices), 1, "choices")
    choice = completion.choices[0]
    equal(choice.index, 0, "index")
    equal(choice.finish_reason, "stop", "finish_reason")
    equal(choice.message.role, "assistant", "role")
    equal(choice.message.content, answer, "content")
    some_usage(completion.usage)


def some_usage(usage):
    true(usage is not None, "no usage")
    true(usage.prompt_tokens > 0 and usage.completion_tokens > 0, f"{usage!r}")
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total_tokens")


def text_of(chunks):
    deltas = [choice.delta.content for chunk in chunks for choice in chunk.choices]
    return "".join(delta for delta in deltas if delta)


def finishes(chunks):
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    return [reason for reason in reasons if reason is not None]


def whole_stream(chunks, model, usage, answer=ANSWER):
    """Checks the chunks of a finished stream; `usage` says whether it was asked for."""
    true(len(chunks) > 3, f"only {len(chunks)} chunks")
    first = chunks[0]
    equal(first.choices[0].delta.role, "assistant", "role of the first chunk")
    equal(first.choices[0].delta.content, "", "content of the first chunk")
    for field in ("id", "created", "model", "object"):
        equal({getattr(chunk, field) for chunk in chunks}, {getattr(first, field)}, field)
    equal(first.object, "chat.completion.chunk", "object")
    equal(first.model, model, "model")
    equal(text_of(chunks), answer, "content")
    equal(finishes(chunks), ["stop"], "finish reasons")

    with_choices = chunks[:-1] if usage else chunks
    true(all(len(chunk.choices) == 1 for chunk in with_choices), "a chunk without exactly one choice")
    equal(with_choices[-1].choices[0].finish_reason, "stop", "finish_reason of the last chunk with a choice")
    true(all(chunk.usage is None for chunk in with_choices), "usage outside of the usage chunk")
    if usage:
        equal(chunks[-1].choices, [], "choices of the usage chunk")
        some_usage(chunks[-1].usage)


def cut(chunks, error):
    """Checks the received part of a stream that the upstream cut, and its error."""
    true(text_of(chunks).startswith("You said: "), f"content before the cut: {text_of(chunks)!r}")
    true(text_of(chunks) != ANSWER, "the whole answer arrived, there was no cut")
    equal(finishes(chunks), [], "finish reasons of a cut stream")
    equal(error.code, "upstream_truncated", "code")
    equal(error.type, "server_error", "type")
    true(error.message, "no message")
