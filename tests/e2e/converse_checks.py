"""Conversations of many turns on one stream, with grpcio."""

import grpc
from checks import check, equal, true, until
from grpc_door import Door, counted, fails, text_of
from world import CLOSED


def kinds(events):
    """The kinds of the events, without consecutive repeats."""
    found = [event.WhichOneof("event") for event in counted(events)]
    return [kind for index, kind in enumerate(found) if index == 0 or found[index - 1] != kind]


WHOLE = ["turn_started", "content", "usage", "turn_finished"]


def made(world, gateway):
    """Numbers of conversations and messages that a gateway's credentials have caused upstream."""
    calls = world.sim.state()["counts"]["calls_by_token"]
    own = [calls.get(token, {}) for token in gateway.tokens]
    return [sum(steps.get(step, 0) for steps in own) for step in ("create_conversation", "message")]


@check("converse: twenty turns are one conversation and twenty messages; a dead token costs one more and one event")
def many_turns(world):
    gateway = world.gateway("converse", tokens=2, WARM_CONVERSATIONS="0", TOKEN_COOLDOWN="1")
    with Door(gateway) as door, door.converse() as talk:
        head = talk.start()
        true(head.id.startswith("conv-") and head.created > 0, f"{head}")
        for number in range(1, 21):
            events = talk.ask(f"turn {number}")
            equal(text_of(events), f"You said: turn {number}", "the answer")
            equal(kinds(events), WHOLE, "the events")
        equal(made(world, gateway), [1, 20], "conversations and messages")
        held = world.sim.state()["counts"]["conversations"]
        (holder,) = [token for token in gateway.tokens if held.get(token)]
        world.sim.post("tokens/revoke", token=holder)
        events = talk.ask("turn 21")
        equal(kinds(events), ["turn_started", "history_replayed", *WHOLE[1:]], "the events")
        true(text_of(events).endswith("Assistant: You said: turn 20\n\nUser: turn 21"), text_of(events)[-200:])
        events = talk.ask("turn 22")
        equal((text_of(events), kinds(events)), ("You said: turn 22", WHOLE), "the turn after")
        equal(made(world, gateway), [2, 23], "conversations and messages, one of them refused")
        talk.close()
        equal([event for event in talk.call], [], "what comes after the last turn")
        equal(talk.call.code(), grpc.StatusCode.OK, "the status")
    world.sim.post("tokens/restore", token=holder)


@check("converse: a turn is cancelled and the stream goes on; who leaves closes the upstream's answer")
def cancelled(world):
    gateway = world.gateway("converse-cancel", tokens=1)
    with Door(gateway) as door:
        with door.converse() as talk:
            talk.start()
            world.sim.post("hold", at="after_first_piece")
            try:
                talk.say("on and on and on")
                true(next(talk.call).HasField("turn_started"), "the turn's head")
                equal(next(talk.call).content.text, "You ", "the first piece")
                talk.send(cancel={})
                (end,) = talk.turn()
                true(end.turn_finished.HasField("cancelled"), f"{end}")
                until(lambda: world.sim.open() == 0, "the upstream's answer is closed", CLOSED)
            finally:
                world.sim.post("release")
            events = talk.ask("and now?")
            true(text_of(events).endswith("Assistant: You \n\nUser: and now?"), text_of(events))
            world.sim.post("hold", at="after_first_piece")
            talk.say("left alone")
            while not next(talk.call).HasField("content"):
                pass
        until(lambda: world.sim.open() == 0, "the upstream's answer is closed", CLOSED)
        world.sim.post("release")


@check("converse: a bad turn fails by itself, and a message out of its place ends the stream")
def bad_input(world):
    with Door(world.any) as door:
        with door.converse() as talk:
            talk.start("any", temperature=0.3)
            events = talk.ask("")
            failure = events[-1].turn_finished.failure
            equal((failure.code, failure.reason, failure.field), (3, "INVALID_REQUEST", "turn.content"), "the failure")
            equal(text_of(talk.ask("still here")), "You said: still here", "the answer after it")
        with door.converse() as talk:
            talk.say("too early")
            try:
                event = next(talk.call)
            except grpc.RpcError as error:
                found = fails(error, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
                equal(found["BadRequest"].field_violations[0].field, "start", "the field")
            else:
                raise AssertionError(f"an event: {event}")
