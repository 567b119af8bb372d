"""Runs the commands on a page of documentation: `console` blocks with lines that begin with `$ `, and their output.

A command may be continued after a backslash at the line's end. One that ends in ` &` runs in the background, and `wait`
shows the output of the last such command.
"""

import os
import re
import subprocess

PATIENCE = 60
BLOCK = re.compile(r"(?ms)^```(\S*)[^\n]*\n(.*?)^```$")


class Command:
    """A command, and its output according to the page."""

    def __init__(self, lines):
        self.lines = lines
        self.shown = []

    def text(self):
        return "\n".join([self.lines[0].removeprefix("$ "), *self.lines[1:]])


def commands(block):
    """The commands of a block, which must begin with one."""
    found = []
    for line in block.splitlines():
        if found and not found[-1].shown and found[-1].lines[-1].endswith("\\"):
            found[-1].lines.append(line)
        elif line.startswith("$ "):
            found.append(Command([line]))
        elif found:
            found[-1].shown.append(line)
        else:
            raise AssertionError(f"a block begins with what is no command: {line!r}")
    return found


class Shell:
    """Runs the commands of a page in order."""

    def __init__(self, directory, settings, started):
        self.directory = directory
        self.settings = settings
        # Called when a background command has started.
        self.started = started
        self.beside = None

    def run(self, command):
        """Runs a command; returns its output as lines."""
        text = command.text()
        if text.endswith(" &"):
            self.beside = self.start(text.removesuffix(" &"))
            self.started()
            return []
        process = self.beside if text == "wait" else self.start(text)
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return output.rstrip().splitlines()

    def start(self, text):
        return subprocess.Popen(
            ["bash", "-c", text],
            cwd=self.directory,
            env=self.settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def alike(lines, varying):
    """The lines as one text, with varying parts replaced."""
    text = "\n".join(lines)
    for pattern, replacement in varying:
        text = re.sub(pattern, replacement, text)
    return text


def run(path, shell, varying, update):
    """Runs every command of a page; returns their number, and the differences from the page. With `update` the page is
    rewritten where the output has changed."""
    count, wrong = 0, []

    def renew(match):
        nonlocal count
        kind, block = match.groups()
        if kind != "console":
            return match[0]
        lines = []
        for command in commands(block):
            count += 1
            printed = shell.run(command)
            same = alike(printed, varying) == alike(command.shown, varying)
            if not same:
                wrong.append(f"$ {command.text()}\n" + "\n".join(printed))
            lines += [*command.lines, *(command.shown if same else printed)]
        return "```console\n" + "\n".join(lines) + "\n```"

    page = path.read_text()
    renewed = BLOCK.sub(renew, page)
    if update and renewed != page:
        path.write_text(renewed)
        wrong = []
    return count, wrong
