# SPDX-License-Identifier: BSD-2-Clause
"""Manual pages, completion, the systemd unit and the Debian package say what `pst` says."""
import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PST = os.path.abspath(sys.argv.pop(1))
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ENV = {**os.environ, 'PATH': f'{os.path.dirname(PST)}:{os.environ["PATH"]}', 'LC_ALL': 'C.UTF-8'}


def run(*command, **more):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, env=ENV, **more)
    assert r.returncode == 0, (command, r.stdout, r.stderr)
    return r.stdout


def commands():
    return [name for name in re.findall(r'^  ([a-z]+) +\S', run(PST, 'help'), re.M) if name != 'help']


def options(text):
    return set(re.findall(r'(?<![\w-])--[a-z][a-z-]*', text))


class Packaging(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def stage(self):
        run(ROOT / 'scripts/stage', PST, self.folder, '/usr', '/lib/systemd/system')
        return self.folder

    def test_each_subcommand_has_a_page_with_all_its_options(self):
        pages = self.stage() / 'usr/share/man/man1'
        self.assertEqual({p.name for p in pages.iterdir()}, {'pst.1', *(f'pst-{name}.1' for name in commands())})
        for name in commands():
            page, said = (pages / f'pst-{name}.1').read_text(), run(PST, 'help', name)
            sections = re.findall(r'^\.SH (.*)$', page, re.M)
            self.assertEqual(sections, ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO'])
            text = re.sub(r'\\([-e&])', lambda m: {'-': '-', 'e': '\\', '&': ''}[m[1]], page)
            self.assertEqual(options(text), options(said), name)
            # No word of the help is lost on the way.
            words = re.findall(r'\w+', re.sub(r'^(usage|exit status|example):', '', said, flags=re.M))
            self.assertEqual([w for w in words if w not in re.findall(r'\w+', text)], [], name)
            self.assertIn(f'pst\\-{name} (1)', (pages / 'pst.1').read_text())
            if shutil.which('groff'):
                self.assertEqual(subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', pages / f'pst-{name}.1'],
                                                capture_output=True, text=True).stderr, '')

    def test_completion(self):
        def complete(*words):
            script = (f'. {ROOT}/packaging/pst.bash; COMP_WORDS=({" ".join(repr(w) for w in words)}); '
                      'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _pst; printf "%s\\n" "${COMPREPLY[@]}"')
            return set(run('bash', '-c', script).split())

        self.assertEqual(complete('pst', ''), {*commands(), 'help', '--version'})
        self.assertEqual(complete('pst', 'se'), {'serve'})
        self.assertEqual(complete('pst', 'help', 'gr'), {'grow'})
        for name in commands():
            self.assertLessEqual(options(run(PST, 'help', name)), complete('pst', name, '-'), name)
        self.assertEqual(complete('pst', 'serve', '--to'), {'--token-file'})
        self.assertIn('lo', complete('pst', 'port', ''))

    def test_the_unit(self):
        unit = (self.stage() / 'lib/systemd/system/paste@.service').read_text()
        self.assertNotIn('@BIN@', unit)
        self.assertIn('ExecStart=/usr/bin/pst serve /var/lib/paste/%i $OPTIONS\n', unit)
        for line in unit.splitlines():
            self.assertRegex(line, r'^(#.*|\[(Unit|Service|Install)\]|[A-Z][A-Za-z]+=.*|)$')
        for needed in ('Type=notify', 'WatchdogSec=', 'ExecReload=/bin/kill -HUP $MAINPID', 'RuntimeDirectory=paste'):
            self.assertIn(f'\n{needed}', unit)
        if shutil.which('systemd-analyze'):
            r = subprocess.run(['systemd-analyze', 'verify', self.folder / 'lib/systemd/system/paste@.service'],
                               capture_output=True, text=True)
            self.assertNotIn('Unknown', r.stderr)

    @unittest.skipUnless(shutil.which('dpkg-deb') and shutil.which('dpkg-shlibdeps'), 'no dpkg-dev here')
    def test_the_package(self):
        package = run(ROOT / 'scripts/deb', PST, self.folder / 'out').strip()
        listed = run('dpkg-deb', '-c', package)
        for line in listed.splitlines():
            self.assertEqual(line.split()[1], 'root/root', line)
        names = {line.split()[5] for line in listed.splitlines()}
        wanted = {'./usr/bin/pst', './lib/systemd/system/paste@.service', './usr/share/bash-completion/completions/pst',
                  './usr/share/doc/paste/copyright', './usr/share/doc/paste/changelog.gz', './usr/share/man/man1/pst.1.gz',
                  *(f'./usr/share/man/man1/pst-{name}.1.gz' for name in commands())}
        self.assertLessEqual(wanted, names)
        self.assertFalse([n for n in names if n.startswith(('./etc', './var', './usr/local', './home'))])
        fields = dict(re.findall(r'^(\S+): (.*)$', run('dpkg-deb', '-f', package), re.M))
        self.assertEqual((fields['Package'], fields['Version']), ('paste', run(PST, '--version').split()[1]))
        for library in ('libc6', 'liburing2', 'libisal2', 'libbpf1', 'libseccomp2'):
            self.assertIn(library, fields['Depends'])
        root = self.folder / 'root'
        run('dpkg-deb', '-x', package, root)
        self.assertEqual(run(root / 'usr/bin/pst', '--version'), run(PST, '--version'))
        page = gzip.decompress((root / 'usr/share/man/man1/pst-serve.1.gz').read_bytes())
        self.assertIn(b'.SH EXIT STATUS', page)
        self.assertIn('Redistribution and use', (root / 'usr/share/doc/paste/copyright').read_text())
        run('dpkg-deb', '-e', package, self.folder / 'control')
        sums = (self.folder / 'control/md5sums').read_text()
        run('md5sum', '-c', '--quiet', input=sums, cwd=root)
        for script in ('postinst', 'postrm'):
            run('sh', '-n', self.folder / 'control' / script)


if __name__ == '__main__':
    unittest.main()
