# SPDX-License-Identifier: BSD-2-Clause
"""A lane: promises that are made one after another, and the table of them.

The first broken promise ends the lane, because what follows would only repeat the failure.
"""

import re
import textwrap


class Broken(Exception):
    """A promise did not hold; it is in the lane's list."""


class Lane:
    def __init__(self, name, title):
        self.name, self.title = name, title
        self.promises = []  # (held, statement, detail)
        self.notes = []
        self.tests = {}       # a test program that ran in the machine: "passed", "failed" or "skipped"
        self.accident = None  # the test itself failed: the machine died or hung
        self.skipped = None   # why this lane cannot run here
        self.seconds = 0.0

    def promise(self, held, statement, detail=""):
        self.promises.append((bool(held), statement, detail.strip()))
        print(f"check-pmem: {self.name}: {'ok' if held else 'BROKEN'}: {statement}", flush=True)
        if not held:
            raise Broken(statement)

    def note(self, text):
        """Something worth knowing that is no promise."""
        self.notes.append(text)

    def succeeds(self, machine, command, statement, timeout=60):
        status, text = machine.run(command, timeout)
        self.promise(status == 0, statement, "" if status == 0 else f"`{command}` exits {status}: {text}")
        return text

    def refused(self, machine, command, statement, expect=None, timeout=60):
        status, text = machine.run(command, timeout)
        held = status not in (0, 124, 126, 127) and status < 128 and (not expect or re.search(expect, text))
        self.promise(held, statement, f"`{command}` exits {status}: {text}")
        return text

    @property
    def held(self):
        return (not self.accident and bool(self.promises) and all(held for held, _, _ in self.promises)
                and "failed" not in self.tests.values())

    def count(self):
        """(passed, failed, skipped): of promises and test programs."""
        words = ["passed" if held else "failed" for held, _, _ in self.promises] + list(self.tests.values())
        return (words.count("passed"), words.count("failed") + bool(self.accident),
                words.count("skipped") + bool(self.skipped))

    def table(self):
        """What this lane proved, as lines for a person."""
        if self.skipped:
            return [f"SKIPPED {self.name}: {self.title}", f"         - {self.skipped}"]
        lines = [f"{'PROVED' if self.held else 'BROKEN'}  {self.name}: {self.title}"]
        for held, statement, detail in self.promises:
            lines.append(f"  {'ok    ' if held else 'BROKEN'} {statement}")
            if not held and detail:
                lines.append(textwrap.indent(detail[-2000:], " " * 11))
        if self.accident:
            lines.append(f"  BROKEN the test itself: {self.accident}")
        return lines + [f"         - {note}" for note in self.notes]
