"""Revoked or rate-limited credentials, each check with its own gateway, since a cooldown takes a while."""

import grpc
import openai
from checks import check, equal, raises, true
from grpc_door import Door, fails, request
from http_checks import ask, chat
from openai_sync import client
from shapes import CHAT, whole_chat, whole_stream


@check("pool: a revoked token is failed over unseen, through both doors")
def failover(world):
    gateway = world.gateway("failover", tokens=2)
    world.sim.post("tokens/revoke", token=gateway.tokens[0])
    try:
        with client(gateway) as api:
            for _ in range(4):
                whole_chat(api.chat.completions.create(model="any", **CHAT), "any")
                whole_stream(list(api.chat.completions.create(model="any", stream=True, **CHAT)), "any", usage=False)
        with Door(gateway) as door:
            for _ in range(4):
                door.ask("CreateChatCompletion", request("any"))
    finally:
        world.sim.post("tokens/restore", token=gateway.tokens[0])


@check("pool: when every token is rejected it is 502, not 401, and FAILED_PRECONDITION")
def all_rejected(world):
    gateway = world.gateway("rejected", tokens=2)
    for _ in range(2):
        answer = chat(gateway, CHAT | {"model": "fault:401"})
        answer.error(502, "upstream_credentials", "server_error")
        equal(answer.headers.get("x-should-retry"), "false", "x-should-retry")
    with Door(gateway) as door:
        error = door.refused("CreateChatCompletion", request("ordinary"))
        fails(error, grpc.StatusCode.FAILED_PRECONDITION, "CREDENTIALS_REJECTED")


@check("pool: an upstream that forbids is no PermissionDeniedError of the caller's")
def forbidden(world):
    gateway = world.gateway("forbidden", tokens=1)
    with client(gateway) as api, raises(openai.InternalServerError) as caught:
        api.chat.completions.create(model="fault:403", **CHAT)
    equal(caught.error.status_code, 502, "status")


@check("pool: when every token is rate limited it is 503 with the time of the soonest")
def all_limited(world):
    gateway = world.gateway("limited", tokens=2)
    with client(gateway, max_retries=0) as api:
        with raises(openai.InternalServerError) as caught:
            api.chat.completions.create(model="fault:429", **CHAT)
        equal((caught.error.status_code, caught.error.code), (503, "no_available_tokens"), "status and code")
        headers = caught.error.response.headers
        true(0 < float(headers["retry-after"]) <= 3, f"retry-after {headers['retry-after']!r}")
        equal(headers["x-should-retry"], "true", "x-should-retry")
    # The SDK waits as asked and retries; by then one credential's cooldown is over.
    with client(gateway, max_retries=5) as api:
        whole_chat(api.chat.completions.create(model="ordinary", **CHAT), "ordinary")


@check("pool: an empty pool starts, is not ready and answers no_available_tokens without a time")
def empty_pool(world):
    gateway = world.empty
    equal(ask(gateway.http, "GET", "/readyz").status, 503, "/readyz")
    equal(ask(gateway.http, "GET", "/livez").status, 200, "/livez")
    answer = chat(gateway, CHAT | {"model": "any"})
    answer.error(503, "no_available_tokens", "server_error")
    equal(answer.headers.get("retry-after"), None, "retry-after")
