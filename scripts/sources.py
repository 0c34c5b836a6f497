# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/layers and scripts/sites share: finding C files and reading them without their comments."""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Strings are matched too, so that a comment sign inside one is not taken for a comment.
_TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def c_files(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".c", ".h"))


def without_comments(text):
    """The text with every comment blanked; line numbers stay."""

    def blank(match):
        token = match[0]
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token

    return _TOKEN.sub(blank, text)
