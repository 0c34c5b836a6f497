# SPDX-License-Identifier: BSD-2-Clause
"""docs/http.md, as it stands: every `$` line of its console blocks is run by one shell, and prints what stands below it."""
import pathlib
import re
import subprocess
import sys
import unittest

from running import ENV, Service, check, create, folder_on, main, take_pst

PST = take_pst()
DOCS = pathlib.Path(sys.argv.pop(1))
END = 'end of what was printed'


def examples(text):
    """[(command, what it prints)] of the console blocks."""
    found = []
    for block in re.findall(r'^```console\n(.*?)^```$', text, re.M | re.S):
        assert block.startswith('$ '), block
        for part in re.split(r'^\$ ', block, flags=re.M)[1:]:
            command, _, printed = part.partition('\n')
            found.append((command, printed))
    return found


class Docs(unittest.TestCase):
    def run_all(self, medium):
        found = examples(DOCS.read_text())
        self.assertGreater(len(found), 30)
        with folder_on(medium) as folder:
            region = create(PST, folder / 'region', '64M', medium)
            with Service(PST, region) as service:
                shell = subprocess.Popen(['bash'], env={**ENV, 'url': service.url}, cwd=folder, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                try:
                    script = ''.join(f"{command}\nprintf '%s\\n' '{END}'\n" for command, _ in found)
                    printed = shell.communicate(script, timeout=60)[0].split(END + '\n')
                finally:
                    shell.kill()
                for (command, expected), got in zip(found, printed):
                    self.assertEqual(got, expected, command)
                self.assertEqual(len(printed), len(found) + 1)
                self.assertEqual(service.end(), 0)
            check(PST, region)

    def test_on_shm(self):
        self.run_all('shm')

    def test_on_file(self):
        self.run_all('file')


if __name__ == '__main__':
    main()
