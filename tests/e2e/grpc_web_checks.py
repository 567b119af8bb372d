"""gRPC-Web with a client library for web pages, over HTTP/1.1 as from a browser's proxy."""

import json
import os
import subprocess
from pathlib import Path

from checks import check, equal, true
from shapes import ANSWER, QUESTION
from world import MODELS

SCRIPT = Path(__file__).with_name("grpc_web.mjs")
IMAGE = Path(__file__).parents[2] / "proto" / "duogate.binpb"


@check("grpc-web: a client of web pages chats, streams and reads errors")
def web(world):
    environment = os.environ | {
        "PACKAGES": str(Path(world.tools["tool_packages"]).resolve()),
        "IMAGE": str(IMAGE),
        "GATEWAY": world.strict.grpc,
        "KEY": world.strict.key,
        "MODEL": MODELS[0],
        "QUESTION": QUESTION,
    }
    done = subprocess.run([world.tools["node"], SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, done.stderr[-2000:])
    told = json.loads(done.stdout)
    equal((told["whole"], told["streamed"]), (ANSWER, ANSWER), "answers")
    equal((told["last"], told["failure"]), ("finished", "NotFound"), "last event, and the failure's status")
    true({"google.rpc.ErrorInfo", "google.rpc.ResourceInfo"} <= set(told["details"]), f"details {told['details']}")
