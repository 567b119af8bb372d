"""TLS with openssl as the client: client certificates, and the server's certificate."""

import os
import re
import subprocess

from certificates import certificates, of_gateway
from checks import check, equal, true, until
from shapes import ANSWER, QUESTION
from world import MODELS

REFUSED = "new certificates cannot be used: the old ones stay in use"
CLIENT = ("-cert", "client.crt", "-key", "client.key")


def secured(world, name, **settings):
    """A gateway with certificates, and their directory."""
    place = world.directory / f"{name}-certificates"
    place.mkdir()
    certificates(place)
    files = {"TLS_CERT": str(place / "gateway.crt"), "TLS_KEY": str(place / "gateway.key")}
    files |= {variable: str(place / file) for variable, file in settings.items()}
    return world.gateway(name, tokens=1, AVAILABLE_MODELS=MODELS, **files), place


def s_client(place, address, *arguments):
    """The exit code and output of openssl for a connection that it closes right after the handshake."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, "-CAfile", "ca.crt", "-verify_return_error", *arguments],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout + done.stderr


def shown(place, address):
    """The name in a door's certificate."""
    code, said = s_client(place, address)
    equal(code, 0, said)
    return re.search(r"subject=CN ?= ?(\S+)", said)[1]


@check("tls: openssl finds a chain that holds, and the protocols of each door")
def protocols(world):
    gateway, place = secured(world, "tls")
    for address, offered, agreed in (
        (gateway.grpc, "h2", "h2"),
        (gateway.http, "h2", "h2"),
        (gateway.http, "http/1.1", "http/1.1"),
    ):
        code, said = s_client(place, address, "-alpn", offered)
        equal(code, 0, said)
        true("Verify return code: 0 (ok)" in said, said)
        true(f"ALPN protocol: {agreed}" in said, said)
    code, said = s_client(place, gateway.grpc, "-tls1_1")
    true(code != 0, f"TLS 1.1 was let in: {said}")


@check("tls: a client without a certificate is refused by the gRPC door, with one it chats")
def mutual(world):
    gateway, place = secured(world, "mtls", TLS_CLIENT_CA="ca.crt")
    # In TLS 1.3 the rejection follows the client's side of the handshake, so wait for it.
    for arguments in (["-tls1_2"], ["-tls1_3", "-ign_eof"]):
        code, said = s_client(place, gateway.grpc, *arguments)
        true(code != 0 and "alert" in said, f"{arguments}: exit code {code}: {said}")
        code, said = s_client(place, gateway.grpc, "-alpn", "h2", *CLIENT, arguments[0])
        equal(code, 0, said)
        true("ALPN protocol: h2" in said, said)
    # The HTTP door requires no certificate.
    equal(s_client(place, gateway.http)[0], 0, "exit code at the HTTP door")
    message = f'{{"model": "{MODELS[0]}", "messages": [{{"role": "ROLE_USER", "content": [{{"text": "{QUESTION}"}}]}}]}}'
    command = [world.tools["grpcurl"], "-cacert", "ca.crt", *CLIENT, "-H", f"authorization: Bearer {gateway.key}"]
    command += ["-max-time", "30", "-d", message, gateway.grpc, "duogate.v1.ChatService/CreateChatCompletion"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)
    true(done.returncode == 0 and ANSWER in done.stdout, done.stdout + done.stderr)


@check("tls: a new certificate is shown without a restart, and a pair that does not match never")
def rotation(world):
    gateway, place = secured(world, "rotated")
    doors = (gateway.grpc, gateway.http)
    equal([shown(place, door) for door in doors], ["gateway"] * 2, "names before")
    of_gateway(place, "renewed")
    for kind in ("key", "crt"):
        os.replace(place / f"renewed.{kind}", place / f"gateway.{kind}")
    until(lambda: [shown(place, door) for door in doors] == ["renewed"] * 2, "both doors show the new certificate")
    # It may also have been logged between writing the key and the certificate.
    told = gateway.output().count(REFUSED)
    of_gateway(place, "stranger")
    os.replace(place / "stranger.crt", place / "gateway.crt")
    until(lambda: gateway.output().count(REFUSED) > told, "the pair that does not match is told")
    equal([shown(place, door) for door in doors], ["renewed"] * 2, "names after")
    true(gateway.running(), "it went on")
