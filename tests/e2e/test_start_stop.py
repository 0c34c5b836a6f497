# SPDX-License-Identifier: BSD-2-Clause
"""Starting and stopping `pst serve`: who may listen where, who may write, and what a signal does."""
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

from running import (ENV, NotReady, Service, check, create, folder_on, info, main, request, run, take_pst,
                     wait_until)

PST = take_pst()


def shell(redirected):
    """What stands before a command to redirect its descriptors."""
    return 'sh', '-c', f'exec "$0" "$@" {redirected}'


class StartStop:
    def setUp(self):
        self.folder = self.enterContext(folder_on(self.medium))
        self.region = create(PST, self.folder / 'region', '16M', self.medium)

    def refused(self, status, *args, http='127.0.0.1:0'):
        """What a service says that does not start."""
        r = run(PST, 'serve', self.region, '--http', http, *args, timeout=30)
        if 'io_uring' in r.stderr:
            self.skipTest(r.stderr.strip())
        self.assertEqual((r.returncode, r.stdout), (status, ''), r.stderr)
        self.assertRegex(r.stderr, r'^pst serve: .+\n$' if status == 2 else r'level=error msg=.+\n$')
        return r.stderr

    def test_a_second_writer_is_refused_and_told_who_holds_it(self):
        with Service(PST, self.region) as service:
            said = self.refused(1)
            self.assertIn(f'process {service.pid} ', said)
            self.assertIn(str(self.region), said)
            with service.client() as c:
                self.assertEqual(c.ask('PUT', '/kv/x', b'x').status, 201)
            link = self.folder / 'link'
            link.symlink_to(self.region)
            r = run(PST, 'serve', link, '--http', '127.0.0.1:0')
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertEqual(service.end(), 0, service.said())
        with Service(PST, self.region) as service:  # and now it may
            self.assertIn('closed clean', service.said())
            with service.client() as c:
                self.assertEqual(c.ask('GET', '/kv/x').body, b'x')

    def test_after_a_kill_the_next_one_may_write_at_once(self):
        for n in range(10):
            with Service(PST, self.region) as service, service.client() as c:
                c.send(b''.join(request('PUT', f'/kv/{n}.{i}', b'x' * 5000) for i in range(20)))
                self.assertEqual(c.reply().status, 201)
                service.end(signal.SIGKILL)
        # As a shell does it: kill -9 and start, without a wait between them.
        for n in range(10):
            with Service(PST, self.region) as service:
                service.process.send_signal(signal.SIGKILL)
                with Service(PST, self.region) as other:
                    other.end()
        with Service(PST, self.region) as service, service.client() as c:
            self.assertEqual([c.ask('GET', f'/kv/{n}.0').status for n in range(10)], [200] * 10)

    def test_a_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as other:
            address = f'127.0.0.1:{other.getsockname()[1]}'
            self.assertIn(address, self.refused(1, http=address))
        # Nothing is held by the one that failed.
        check(PST, self.region)
        self.assertTrue(info(PST, self.region)['clean'])

    def test_addresses_that_are_none(self):
        for http in '127.0.0.1', '127.0.0.1:99999', '127.0.0.1:x', '127.0.0.1:', '':
            self.assertIn('HOST:PORT', self.refused(2, http=http))

    def test_anything_but_loopback_must_be_asked_for(self):
        for http in '0.0.0.0:0', '[::]:0', ':0', '10.1.2.3:0', '192.0.2.1:80':
            self.assertIn('--public', self.refused(2, http=http))
        for http in '127.0.0.1:0', '127.8.7.6:0', 'localhost:0':
            with Service(PST, self.region, http=http) as service:
                self.assertEqual(service.end(), 0)
        # In a network of its own, where nobody is.
        alone = ['unshare', '-n'] if os.geteuid() == 0 else ['unshare', '-rn']
        if not shutil.which('unshare') or subprocess.run([*alone, 'true'], capture_output=True).returncode:
            self.skipTest('no network namespaces for --public')
        with Service(PST, self.region, '--public', http='0.0.0.0:0', prefix=alone) as service:
            self.assertEqual(service.host, '0.0.0.0')
            self.assertEqual(service.end(), 0)

    def test_no_permission_to_write(self):
        if os.geteuid() == 0:
            self.skipTest('root may write everything')
        self.region.chmod(0o400)
        self.refused(1)

    def test_a_signal_closes_clean(self):
        for how in signal.SIGTERM, signal.SIGINT:
            with Service(PST, self.region) as service:
                with service.client() as c:
                    self.assertEqual(c.ask('PUT', f'/kv/{how.name}', b'x' * 3000).status, 201)
                self.assertEqual(service.end(how), 0, service.said())
            i = info(PST, self.region)
            self.assertTrue(i['clean'])
            self.assertFalse(i['in_use'])
            check(PST, self.region)

    def test_without_persistence_everybody_is_told(self):
        def metric(c):
            return b'\npaste_media_no_persist 1\n' in c.ask('GET', '/metrics').body

        with Service(PST, self.region, '--no-persist') as service, service.client() as c:
            opened = info(PST, self.region)['media_bytes_written']
            self.assertEqual(c.ask('PUT', '/kv/closed', b'x' * 3000).status, 201)
            self.assertIn('NOTHING IS MADE DURABLE', service.said())
            self.assertTrue(metric(c))
            i = info(PST, self.region)
            self.assertTrue(i['no_persist'] and i['live'])
            self.assertIn('nothing', i['survives'])
            self.assertEqual(i['media_bytes_written'], opened)
            self.assertIn('NOTHING IS MADE DURABLE', run(PST, 'info', self.region).stdout)
            self.assertEqual(service.end(), 0, service.said())
        self.assertTrue(info(PST, self.region)['clean'])
        with Service(PST, self.region, '--no-persist') as service, service.client() as c:
            self.assertNotIn('was last served with --no-persist', service.said())
            self.assertEqual(c.ask('PUT', '/kv/killed', b'x' * 3000).status, 201)
            service.end(signal.SIGKILL)
        self.assertTrue(info(PST, self.region)['was_no_persist'])
        self.assertIn('may be missing or undone', run(PST, 'info', self.region).stdout)
        self.assertIn('--no-persist', run(PST, 'check', self.region).stdout)
        with Service(PST, self.region) as service, service.client() as c:
            self.assertIn('was last served with --no-persist', service.said())
            self.assertFalse(metric(c))
            self.assertEqual(c.ask('GET', '/kv/closed').status, 200)
            # Of a process that dies memory stays, and a file has what it had.
            self.assertEqual(c.ask('GET', '/kv/killed').status, 200 if self.medium == 'shm' else 404)
            self.assertEqual(service.end(), 0, service.said())
        self.assertFalse(info(PST, self.region)['was_no_persist'])
        check(PST, self.region)

    def test_at_a_signal_idle_connections_end_and_busy_ones_get_their_answer(self):
        with Service(PST, self.region) as service:
            idle, busy, refused = service.client(), service.client(), service.client()
            self.assertEqual(idle.ask('PUT', '/kv/idle', b'x').status, 201)
            body = b'y' * 50000
            sent = request('PUT', '/kv/busy', body)
            busy.send(sent[:30000])
            time.sleep(.2)
            service.process.send_signal(signal.SIGTERM)
            self.assertTrue(idle.is_closed())
            busy.send(sent[30000:])
            reply = busy.reply()
            self.assertEqual((reply.status, reply.fields['connection']), (201, 'close'))
            self.assertTrue(busy.is_closed())
            for c in idle, busy, refused:
                c.close()
            with self.assertRaises(ConnectionError):
                service.client()
            self.assertEqual(service.end(0), 0, service.said())
        with Service(PST, self.region) as service, service.client() as c:
            self.assertEqual(c.ask('GET', '/kv/busy').body, body)

    def test_a_client_that_never_ends_does_not_keep_it_open(self):
        with Service(PST, self.region) as service, service.client() as c:
            c.send(request('PUT', '/kv/x', b'x' * 1000)[:500])
            time.sleep(.2)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(.2)
            begun = time.monotonic()
            self.assertEqual(service.end(signal.SIGTERM), 0, service.said())  # the second: at once
            self.assertLess(time.monotonic() - begun, 5)
        self.assertTrue(info(PST, self.region)['clean'])

    def test_it_starts_as_the_child_of_anybody(self):
        """Without a terminal, without stdin, with its stdout closed by the reader after the first line."""
        with Service(PST, self.region, prefix=['setsid']) as service, service.client() as c:
            self.assertEqual(c.ask('PUT', '/kv/x', b'x').status, 201)

    def test_it_may_say_that_it_is_ready_to_nobody_or_to_a_terminal(self):
        terminal, other = os.openpty()
        for told in '/dev/null', os.ttyname(other):
            service = self.enterContext(Service(PST, self.region, wait=False, prefix=shell(f'>{told}')))
            wait_until(lambda: ' msg=ready ' in service.said(), 'it is ready')
            self.assertEqual(service.end(), 0, service.said())
        self.assertIn(b'ready http=127.0.0.1:', os.read(terminal, 1000))
        os.close(terminal)
        os.close(other)

    def test_with_its_standard_descriptors_closed_nothing_is_written_where_it_does_not_belong(self):
        for closed in '2>&-', '<&- 2>&-', '<&- >&- 2>&-':
            service = self.enterContext(Service(PST, self.region, wait='>&-' not in closed.split(), prefix=shell(closed)))
            wait_until(lambda: info(PST, self.region)['live'], 'it is ready')
            service.end(signal.SIGKILL)
            self.assertEqual(self.region.read_bytes().find(b'level='), -1)
            check(PST, self.region)
        r = run(*shell('>&-'), PST, 'info', self.region)
        self.assertEqual((r.returncode, r.stderr), (1, 'pst: cannot write to standard output\n'))


class OnShm(StartStop, unittest.TestCase):
    medium = 'shm'


class OnFile(StartStop, unittest.TestCase):
    medium = 'file'


if __name__ == '__main__':
    main()
