"""OpenAI's Python package: raw responses with headers, and streamed bodies."""

from checks import check, equal, true
from openai_sync import MODEL, client
from shapes import ANSWER, CHAT, QUESTION, whole_chat, whole_stream


def read_headers(headers, request_id):
    equal(headers.get("x-request-id"), request_id, "x-request-id")
    equal(headers.get("openai-version"), "2020-10-01", "openai-version")
    true(headers.get("openai-processing-ms", "").isdigit(), "no openai-processing-ms")


@check("python: with_raw_response gives the headers, and the answer")
def raw(world):
    named = {"extra_headers": {"X-Client-Request-Id": "seen-by-the-client"}}
    with client(world.strict) as api:
        answer = api.chat.completions.with_raw_response.create(model=MODEL, temperature=0.5, **CHAT, **named)
        read_headers(answer.headers, "seen-by-the-client")
        equal(answer.headers.get("x-duogate-ignored"), "temperature", "x-duogate-ignored")
        equal(answer.http_response.status_code, 200, "status")
        whole_chat(answer.parse(), MODEL)
        answer = api.responses.with_raw_response.create(model=MODEL, input=QUESTION, **named)
        read_headers(answer.headers, "seen-by-the-client")
        equal(answer.parse().output_text, ANSWER, "response")
        answer = api.models.with_raw_response.list()
        true(answer.headers.get("x-request-id"), "no request id")
        equal(answer.parse().data[0].id, MODEL, "the first model")


@check("python: with_raw_response gives the headers of a stream, and the stream")
def raw_stream(world):
    with client(world.strict) as api:
        answer = api.chat.completions.with_raw_response.create(model=MODEL, stream=True, **CHAT)
        equal(answer.headers["content-type"].split(";")[0], "text/event-stream", "content type")
        true(answer.headers.get("x-request-id"), "no request id")
        whole_stream(list(answer.parse()), MODEL, usage=False)


@check("python: with_streaming_response reads the body line by line, to its last")
def streaming(world):
    with client(world.strict) as api:
        with api.chat.completions.with_streaming_response.create(model=MODEL, **CHAT) as answer:
            true(answer.headers.get("x-request-id"), "no request id")
            whole_chat(answer.parse(), MODEL)
        with api.chat.completions.with_streaming_response.create(model=MODEL, stream=True, **CHAT) as answer:
            lines = [line for line in answer.iter_lines() if line]
        true(all(line.startswith("data: ") for line in lines), f"{lines!r}")
        equal(lines[-1], "data: [DONE]", "the last line")


@check("python: the stream helper tells each piece and the whole")
def helper(world):
    with client(world.strict) as api:
        options = {"include_usage": True}
        with api.chat.completions.stream(model=MODEL, stream_options=options, **CHAT) as stream:
            events = list(stream)
            whole = stream.get_final_completion()
    deltas = [event.delta for event in events if event.type == "content.delta"]
    done = [event.content for event in events if event.type == "content.done"]
    true(len(deltas) > 3, f"only {len(deltas)} pieces")
    equal(("".join(deltas), done), (ANSWER, [ANSWER]), "pieces, and the whole")
    whole_chat(whole, MODEL)
