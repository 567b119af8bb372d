"""Runs the checks with OpenAI's Node package, in each major that this Node can run."""

import json
import os
import subprocess
from pathlib import Path

from checks import Skip, check, true
from shapes import QUESTION
from world import MODELS

SCRIPT = Path(__file__).with_name("openai_node.mjs")


def run(world, package):
    environment = os.environ | {
        "NODE_PACKAGES": world.tools["node_packages"],
        "PACKAGE": package,
        "STRICT_URL": world.strict.base_url,
        "STRICT_KEY": world.strict.key,
        "ANY_URL": world.any.base_url,
        "ANY_KEY": world.any.key,
        "WRONG_KEY": world.secret("sk-wrong"),
        "MODELS": json.dumps(MODELS),
        "QUESTION": QUESTION,
    }
    command = [world.tools["node"], SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    failed = world.report.failed
    world.report.relay(done.stdout)
    # A script that dies on its way says so by its exit code alone.
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])


@check("openai-6: the script ran to its end")
def openai_6(world):
    run(world, "openai-6")


@check("openai-7: the script ran to its end")
def openai_7(world):
    command = [world.tools["node"], "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 22:
        raise Skip(f"it needs Node 22, this is {version}")
    run(world, "openai-7")
