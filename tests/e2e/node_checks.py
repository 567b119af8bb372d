"""Runs the checks in JavaScript: OpenAI's package in its two newest major versions, Vercel's AI SDK, and clients with
persistent connections."""

import subprocess
from pathlib import Path

from checks import check, true
from node import new_node
from shapes import QUESTION
from world import MODELS, clean_environment

HERE = Path(__file__).parent


def run(world, name, script, node):
    environment = clean_environment(
        {
            "NODE_PACKAGES": world.tools["node_packages"],
            "NAME": name,
            "WORLD": world.view(),
            "MODELS": MODELS,
            "QUESTION": QUESTION,
        }
    )
    done = subprocess.run([node, HERE / script], env=environment, capture_output=True, text=True, timeout=300)
    failed = world.report.failed
    world.report.relay(done.stdout)
    # A script that crashes reveals it only by its exit code.
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])


@check("openai-6: the script ran to its end")
def openai_6(world):
    run(world, "openai-6", "openai_node.mjs", world.tools["node"])


@check("openai-7: the script ran to its end")
def openai_7(world):
    run(world, "openai-7", "openai_node.mjs", new_node(world))


@check("ai-sdk: the script ran to its end")
def ai_sdk(world):
    run(world, "ai-sdk", "ai_sdk.mjs", new_node(world))


@check("keep-alive: the script ran to its end")
def keep_alive(world):
    run(world, "keep-alive", "keep_alive.mjs", world.tools["node"])
