"""The gRPC door: the content of answers, and cancellation."""

import grpc
from checks import check, equal, true
from grpc_door import MODEL, SERVICE, TIMEOUT, Door, Former, counted, enum, fails, request
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shapes import ANSWER
from world import CLOSED, MODELS


@check("grpc: reflection lists the services without a key")
def reflection(world):
    with Door(world.strict) as door:
        services = set(door.database.get_services())
    true({SERVICE, "grpc.health.v1.Health"} <= services, f"services: {services}")


@check("grpc: ListModels and GetModel tell the configured models")
def models(world):
    with Door(world.strict) as door:
        ids = [model.id for model in door.ask("ListModels").models]
        equal(ids[: len(MODELS)], MODELS, "ids")
        model = door.ask("GetModel", {"id": MODEL}).model
        equal(model.id, MODEL, "id")
        true(model.created > 0 and model.owned_by, f"{model}")
        fails(door.refused("GetModel", {"id": "gpt-none"}), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


@check("grpc: CreateChatCompletion answers whole")
def chat(world):
    with Door(world.strict) as door:
        for model in (MODEL, "fast"):
            answer = door.ask("CreateChatCompletion", request(model))
            equal(answer.model, model, "model")
            true(answer.id.startswith("chatcmpl-") and answer.created > 0, f"{answer}")
            equal(len(answer.choices), 1, "choices")
            choice = answer.choices[0]
            equal("".join(part.text for part in choice.message.content), ANSWER, "content")
            equal(enum(choice.message, "role"), "ROLE_ASSISTANT", "role")
            equal(enum(choice, "finish_reason"), "FINISH_REASON_STOP", "finish_reason")
            whole_usage(answer.usage)


def whole_usage(usage):
    true(usage.prompt_tokens > 0 and usage.completion_tokens > 0, f"{usage}")
    equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total_tokens")


@check("grpc: an answer's message can be put into the next request as it is")
def turns(world):
    with Door(world.strict) as door:
        answer = door.ask("CreateChatCompletion", request(text="One."))
        asked = request(text="One.")
        follow_up = {"role": 3, "content": [{"text": "Two."}]}
        asked["messages"] = [*asked["messages"], answer.choices[0].message, follow_up]
        text = door.ask("CreateChatCompletion", asked).choices[0].message.content[0].text
    equal(text, "You said: User: One.\n\nAssistant: You said: One.\n\nUser: Two.", "the flattened text")


@check("grpc: StreamChatCompletion begins with started, ends with finished and is numbered")
def stream(world):
    with Door(world.strict) as door:
        call = door.start("StreamChatCompletion", request())
        events = counted(call)
        equal(call.code(), grpc.StatusCode.OK, "status")
    equal([event.sequence for event in events], list(range(len(events))), "sequence numbers")
    kinds = [event.WhichOneof("event") for event in events]
    equal(kinds[0], "started", "first event")
    equal(kinds[-2:], ["usage", "finished"], "last events")
    equal(set(kinds[1:-2]), {"content"}, "events between")
    true(len(kinds) > 5, f"too few pieces: {kinds}")
    equal(events[0].started.model, MODEL, "model")
    equal("".join(event.content.text for event in events[1:-2]), ANSWER, "content")
    whole_usage(events[-2].usage)
    equal(enum(events[-1].finished, "finish_reason"), "FINISH_REASON_STOP", "finish_reason")


@check("grpc: a client whose contract has no signs of life reads the rest as ever")
def former(world):
    gateway = world.gateway("former", tokens=1, KEEPALIVE_INTERVAL="0.03")
    with Door(gateway, contract=Former) as door:
        world.sim.post("hold")
        try:
            call, events = door.start("StreamChatCompletion", request("any")), []
            while len(events) < 3:
                events.append(next(call))
        finally:
            world.sim.post("release")
        equal([event.WhichOneof("event") for event in events], [None] * 3, "what it knows of signs of life")
        known = [event for event in call if event.WhichOneof("event")]
        equal(call.code(), grpc.StatusCode.OK, "status")
        with door.converse() as talk:
            equal(talk.start("any").model, "any", "model")
            equal(next(talk.call).WhichOneof("event"), None, "what comes between turns")
    equal([event.sequence for event in known], list(range(len(known))), "sequence numbers")
    equal("".join(event.content.text for event in known if event.HasField("content")), ANSWER, "content")


@check("grpc: reasoning is told apart from the content")
def reasoning(world):
    with Door(world.any) as door:
        events = counted(door.start("StreamChatCompletion", request("dialect:reasoning")))
        answer = door.ask("CreateChatCompletion", request("dialect:reasoning"))
    kinds = [event.WhichOneof("event") for event in events]
    true("reasoning" in kinds and kinds.index("reasoning") < kinds.index("content"), f"{kinds}")
    equal("".join(event.content.text for event in events if event.HasField("content")), ANSWER, "content")
    true(answer.choices[0].message.reasoning.text, "no reasoning in the whole answer")


@check("grpc: cancelling in mid-stream closes the upstream's answer")
def cancel(world):
    world.sim.rest()
    with Door(world.any) as door:
        call = door.start("StreamChatCompletion", request("fault:stall"))
        for event in call:
            if event.WhichOneof("event") == "content":
                break
        equal(world.sim.open(), 1, "open answers while the client listens")
        call.cancel()
        world.sim.rest(CLOSED)


@check("grpc: health is SERVING without a key, for the server and the service")
def health(world):
    with grpc.insecure_channel(world.strict.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE, "duogate.live"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
            equal(answer.status, health_pb2.HealthCheckResponse.SERVING, f"status of {service!r}")
