"""The gRPC door with grpcurl, as used from a shell."""

import json
import subprocess

from checks import check, equal, true
from shapes import ANSWER, QUESTION
from world import MODELS


def grpcurl(world, gateway, *arguments, key=None, data=None):
    command = [world.tools["grpcurl"], "-plaintext", "-max-time", "30"]
    if key:
        command += ["-H", f"authorization: Bearer {key}"]
    if data is not None:
        command += ["-d", json.dumps(data)]
    return subprocess.run([*command, gateway.grpc, *arguments], capture_output=True, text=True, timeout=60)


def documents(text):
    """The consecutive JSON documents in a text."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found


def request(model):
    return {"model": model, "messages": [{"role": "ROLE_USER", "content": [{"text": QUESTION}]}]}


@check("grpcurl: list and describe work without a key")
def describe(world):
    listed = grpcurl(world, world.strict, "list")
    equal(listed.returncode, 0, listed.stderr)
    true({"duogate.v1.ChatService", "grpc.health.v1.Health"} <= set(listed.stdout.split()), listed.stdout)
    described = grpcurl(world, world.strict, "describe", "duogate.v1.ChatService")
    equal(described.returncode, 0, described.stderr)
    for method in ("CreateChatCompletion", "StreamChatCompletion", "ListModels", "GetModel"):
        true(f"rpc {method} (" in described.stdout, f"no {method} in {described.stdout}")


@check("grpcurl: a streamed chat with a key")
def stream(world):
    done = grpcurl(
        world,
        world.strict,
        "duogate.v1.ChatService/StreamChatCompletion",
        key=world.strict.key,
        data=request(MODELS[0]),
    )
    equal(done.returncode, 0, done.stderr)
    events = documents(done.stdout)
    equal("".join(event.get("content", {}).get("text", "") for event in events), ANSWER, "content")
    equal(events[-1]["finished"]["finishReason"], "FINISH_REASON_STOP", "last event")


@check("grpcurl: errors come with their details in plain words")
def errors(world):
    method = "duogate.v1.ChatService/CreateChatCompletion"
    done = grpcurl(world, world.strict, method, data=request(MODELS[0]))
    true(done.returncode != 0 and "Code: Unauthenticated" in done.stderr, done.stderr)
    empty = {"model": MODELS[0], "messages": []}
    done = grpcurl(world, world.strict, method, key=world.strict.key, data=empty)
    true(done.returncode != 0 and "Code: InvalidArgument" in done.stderr, done.stderr)
    # Decoded, since reflection includes the details' types.
    for word in ("google.rpc.BadRequest", '"field": "messages"', "google.rpc.ErrorInfo", '"INVALID_REQUEST"'):
        true(word in done.stderr, f"no {word} in {done.stderr}")
