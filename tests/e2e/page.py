"""A page of documentation whose commands are run: blocks of `console` with lines that begin with `$ ` and what they print.

A command may go on over several lines that end in a backslash. One that ends in ` &` runs beside those that follow, and
`wait` shows what the last such one printed.
"""

import os
import re
import subprocess

PATIENCE = 60
BLOCK = re.compile(r"(?ms)^```(\S*)[^\n]*\n(.*?)^```$")


class Command:
    """A command, and what the page says that it prints."""

    def __init__(self, lines):
        self.lines = lines
        self.shown = []

    def text(self):
        return "\n".join([self.lines[0].removeprefix("$ "), *self.lines[1:]])


def commands(block):
    """The commands of a block; a block begins with one."""
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
    """Runs the commands of a page one after the other."""

    def __init__(self, directory, settings, started):
        self.directory = directory
        self.settings = settings
        # Called when a command runs beside the others.
        self.started = started
        self.beside = None

    def run(self, command):
        """What a command prints, line by line."""
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
    """The lines as one text, in which what must vary is replaced."""
    text = "\n".join(lines)
    for pattern, replacement in varying:
        text = re.sub(pattern, replacement, text)
    return text


def run(path, shell, varying, update):
    """Runs every command of a page; tells how many there were, and where the page is wrong. With `update` the page is
    written anew where something has changed."""
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
