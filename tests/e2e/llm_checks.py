"""The `llm` command, with the gateway's models in its extra-openai-models.yaml."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checks import check, equal, true
from shapes import ANSWER, COUNTING, QUESTION
from world import MODELS

LLM = Path(sys.executable).with_name("llm")
# Names in llm, and their models.
KNOWN = {
    "chat": ("strict", MODELS[0]),
    "unknown": ("strict", "gpt-none"),
    "cut": ("any", "fault:cut"),
    "dead": ("any", "fault:502"),
    "nobody": ("empty", "any"),
    "agent": ("agent", "any"),
}


class Command:
    """`llm` with a home of its own."""

    def __init__(self, world, name):
        self.home = Path(os.environ["HOME"], name)
        self.home.mkdir()
        entries = [
            {
                "model_id": alias,
                "model_name": model,
                "api_base": getattr(world, gateway).base_url,
                "api_key_name": gateway,
                "supports_tools": True,
            }
            for alias, (gateway, model) in KNOWN.items()
        ]
        # JSON is YAML too.
        (self.home / "extra-openai-models.yaml").write_text(json.dumps(entries))
        keys = {gateway: getattr(world, gateway).key for gateway, _ in KNOWN.values()}
        (self.home / "keys.json").write_text(json.dumps(keys))

    def __call__(self, *arguments):
        done = subprocess.run(
            [LLM, *arguments],
            env=os.environ | {"LLM_USER_PATH": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr


def two_at_a_time(world, name, *commands):
    """Runs two at a time, since `llm` starts slowly. In one home both would create its database, and one fail."""
    homes = [Command(world, f"{name}-{number}") for number in range(len(commands))]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda home, arguments: home(*arguments), homes, commands))


@check("llm: answers stream and come whole, and their usage is logged")
def answers(world):
    llm = Command(world, "answers")
    for number, mode in enumerate(([], ["--no-stream"])):
        equal(llm("-m", "chat", *mode, QUESTION), (0, f"{ANSWER}\n", ""), f"answer {number}")
    entries = json.loads(llm("logs", "--count", "2", "--json")[1])
    equal([entry["response"] for entry in entries], [ANSWER, ANSWER], "logged answers")
    used = {(entry["input_tokens"], entry["output_tokens"]) for entry in entries}
    true(len(used) == 1 and all(tokens > 0 for tokens in used.pop()), f"logged usage {used!r}")


@check("llm: a conversation keeps its system prompt and its turns")
def conversation(world):
    llm = Command(world, "conversation")
    first = "You said: System: Be brief.\n\nUser: Hello."
    equal(llm("-m", "chat", "-s", "Be brief.", "Hello."), (0, f"{first}\n", ""), "answer")
    code, said, _ = llm("-c", "And now?")
    equal(code, 0, "exit code")
    true(said.startswith(f"{first}\n\nAssistant: You said: System") and said.endswith("\n\nUser: And now?\n"), said)


@check("llm: what is refused is told on stderr with exit code 1, a cut answer too")
def refusals(world):
    before = world.sim.answers()
    cases = {
        "Incorrect API key provided": ["-m", "chat", "--key", world.secret("sk-wrong"), "hi"],
        "The model `gpt-none` does not exist": ["-m", "unknown", "hi"],
        "Unsupported parameter: 'tools'": ["-m", "chat", "-T", "llm_version", "hi"],
        "The upstream failed with status 502": ["-m", "dead", "hi"],
        "TOKEN_POOL is empty": ["-m", "nobody", "hi"],
        "broke off in the middle of the answer": ["-m", "cut", QUESTION],
        "broke off in the middle of every answer": ["-m", "cut", "--no-stream", QUESTION],
    }
    for wanted, (code, said, error) in zip(cases, two_at_a_time(world, "refusals", *cases.values())):
        true(code == 1 and wanted in error, f"wanted {wanted!r}, found {code}: {error!r}")
        true(said in ("", "You said: "), f"with {wanted!r} it said {said!r}")
    # Two for each whole answer that failed and one for the stream: the command does not retry by itself.
    equal(world.sim.answers() - before, 5, "answers asked of the upstream")


@check("llm: max_tokens is obeyed; with UNSUPPORTED_PARAMS=ignore tools are answered as text")
def more(world):
    cut, agent = two_at_a_time(
        world,
        "more",
        ["-m", "chat", "-o", "max_tokens", "5", COUNTING],
        ["-m", "agent", "-T", "llm_version", QUESTION],
    )
    equal(cut, (0, "You said: one two\n", ""), "cut answer")
    equal(agent, (0, f"{ANSWER}\n", ""), "answer with tools")
