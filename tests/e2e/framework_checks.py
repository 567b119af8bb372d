"""Runs the checks of the frameworks, each in a process of its own, in an environment of their own: they need OpenAI's
package in the major before the newest, which is checked there too."""

import subprocess
from pathlib import Path

from checks import check, true
from world import clean_environment

SCRIPT = Path(__file__).with_name("framework.py")
# Nothing is looked up and nothing reported outside of this machine.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# What each is called, and where its checks are.
RUNS = {
    "openai 2": ["openai_sync", "openai_async", "openai_endpoints", "openai_errors", "openai_raw"],
    "langchain": ["langchain_checks"],
    "litellm": ["litellm_checks"],
    "llama_index": ["llama_index_checks"],
    "pydantic-ai": ["pydantic_ai_checks"],
    "llm": ["llm_checks"],
}


def run(world, name):
    home = world.directory / f"framework-{name.replace(' ', '-')}"
    home.mkdir()
    environment = clean_environment(QUIET | {"HOME": str(home), "WORLD": world.view()})
    done = subprocess.run(
        [world.tools["frameworks_python"], SCRIPT, name, *RUNS[name]],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    failed = world.report.failed
    world.report.relay(done.stdout)
    # A script that dies on its way says so by its exit code alone.
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])


for framework in RUNS:
    check(f"{framework}: the script ran to its end")(lambda world, framework=framework: run(world, framework))
