"""The gRPC door: statuses, their details, and their meaning for callers."""

import grpc
from checks import check, equal, true
from grpc_door import Door, fails, request
from world import CLOSED


@check("grpc: a key is taken from authorization, x-api-key and api-key; none or a wrong one is UNAUTHENTICATED")
def keys(world):
    key, wrong = world.strict.key, world.secret("sk-wrong")
    with Door(world.strict) as door:
        for metadata in ([("authorization", f"Bearer {key}")], [("x-api-key", key)], [("api-key", key)]):
            door.ask("ListModels", metadata=metadata)
        for metadata in ([], [("authorization", f"Bearer {wrong}")], [("x-api-key", wrong)]):
            for method in ("ListModels", "CreateChatCompletion", "StreamChatCompletion"):
                asked = {} if method == "ListModels" else request()
                fails(door.refused(method, asked, metadata), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@check("grpc: bad requests are INVALID_ARGUMENT and name the field")
def invalid(world):
    text = [{"text": "hi"}]
    wrong = {
        "messages": request(messages=[]),
        "model": request(""),
        "temperature": request(temperature=3.0),
        "top_p": request(top_p=-1.0),
        "messages[0].role": request(messages=[{"content": text}]),
        "messages[0].content[0]": request(messages=[{"role": 3, "content": [{}]}]),
    }
    with Door(world.strict) as door:
        for field, asked in wrong.items():
            for method in ("CreateChatCompletion", "StreamChatCompletion"):
                found = fails(door.refused(method, asked), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
                violations = [violation.field for violation in found["BadRequest"].field_violations]
                true(any(name.startswith(field) for name in violations), f"wanted {field!r}, found {violations}")


@check("grpc: an unknown model is NOT_FOUND and named")
def unknown_model(world):
    with Door(world.strict) as door:
        for method in ("CreateChatCompletion", "StreamChatCompletion"):
            found = fails(door.refused(method, request("gpt-none")), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
            equal(found["ResourceInfo"].resource_name, "gpt-none", "resource")
            true(found["RequestInfo"].request_id, "no request id")


@check("grpc: a cut stream ends with ABORTED after content and without finished")
def cut(world):
    with Door(world.any) as door:
        for model in ("fault:cut", "fault:polite-cut"):
            call, events = door.start("StreamChatCompletion", request(model)), []
            try:
                for event in call:
                    events.append(event)
            except grpc.RpcError as error:
                fails(error, grpc.StatusCode.ABORTED, "UPSTREAM_TRUNCATED")
            else:
                raise AssertionError(f"{model}: the stream ended well")
            kinds = [event.WhichOneof("event") for event in events]
            equal(kinds[0], "started", f"{model}: first event")
            equal(set(kinds[1:]), {"content"}, f"{model}: further events")
        error = door.refused("CreateChatCompletion", request("fault:cut"))
        fails(error, grpc.StatusCode.ABORTED, "UPSTREAM_TRUNCATED")


@check("grpc: failures of the upstream have their statuses and say whether a retry helps")
def upstream_failures(world):
    with Door(world.any) as door:
        for model, code, reason in [
            ("fault:502", grpc.StatusCode.UNAVAILABLE, "UPSTREAM_UNAVAILABLE"),
            ("fault:400", grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_REFUSED"),
        ]:
            error = door.refused("StreamChatCompletion", request(model))
            fails(error, code, reason)
            pushback = dict(error.trailing_metadata()).get("grpc-retry-pushback-ms")
            equal(pushback, "-1", f"{model}: grpc-retry-pushback-ms")


@check("grpc: a deadline ends the call with DEADLINE_EXCEEDED and closes the upstream's answer")
def deadline(world):
    with Door(world.any) as door:
        try:
            list(door.start("StreamChatCompletion", request("fault:stall"), timeout=1.5))
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "status")
        else:
            raise AssertionError("the call ended well")
        world.sim.rest(CLOSED)
