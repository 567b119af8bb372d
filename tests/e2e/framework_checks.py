"""Runs the checks of the frameworks, each in its own process, in a separate environment: they need the previous major
version of OpenAI's package, which is checked there as well."""

import subprocess
from pathlib import Path

from checks import check, true
from world import clean_environment

SCRIPT = Path(__file__).with_name("framework.py")
# No lookups and no telemetry outside of this machine.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# The name of each run, and the modules of its checks.
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
    # A script that crashes reveals it only by its exit code.
    true(done.returncode == 0 or world.report.failed > failed, done.stderr[-2000:])


for framework in RUNS:
    check(f"{framework}: the script ran to its end")(lambda world, framework=framework: run(world, framework))
