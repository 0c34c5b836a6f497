# SPDX-License-Identifier: BSD-2-Clause
"""`pst bench` against a model of the service that keeps everything, and against ones that do not."""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from model_service import ModelService

PST = os.path.abspath(sys.argv.pop(1))
MIX = '40:20:30:10'


def pst(*args):
    return subprocess.run([PST, *map(str, args)], capture_output=True, text=True, timeout=60)


def shell(before, *args):
    return subprocess.run(['sh', '-c', before + '; exec "$@"', 'sh', PST, *args], capture_output=True, text=True,
                          timeout=60)


def any_key(service, mutate):
    name = sorted(service.keys)[len(service.keys) // 2]
    mutate(service.keys, name)


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = os.path.join(folder.name, 'acked')

    def load(self, service, *args, status=0, n=2000, mix=MIX):
        r = pst('bench', service.url, '-c', 16, '-n', n, '--keys', 100, '--streams', 3, '--size', 100,
                '--mix', mix, '--verify', self.file, '--json', *args)
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        return json.loads(r.stdout) if r.stdout else None

    def check(self, service, status=0, lost=0, wrong=0):
        r = pst('bench', service.url, '--check', self.file, '--json')
        self.assertEqual(r.returncode, status, r.stdout + r.stderr)
        result = json.loads(r.stdout)
        if lost is not None:
            self.assertEqual((result['lost'], result['wrong']), (lost, wrong), r.stdout)
        return result


class Sound(Bench):
    def test_a_load_measures_and_counts(self):
        with ModelService() as s:
            r = pst('bench', s.url, '-c', 4, '-n', 1000, '--keys', 50, '--json', '--mix', '50:30:20')
            self.assertEqual(r.returncode, 0, r.stderr)
            result = json.loads(r.stdout)
            self.assertEqual(result['requests'], 1000)
            self.assertEqual(s.requests, 1000)
            self.assertEqual(sum(result['status'].values()), 1000)
            self.assertEqual(result['acknowledged'], s.writes)
            self.assertEqual(result['missing'], result['status'].get('404', 0))
            self.assertEqual((result['errors'], result['full']), (0, 0))
            us = result['latency_us']
            self.assertTrue(0 < us['p50'] <= us['p90'] <= us['p99'] <= us['p99_9'] <= us['max'], us)
            self.assertTrue(all(len(v) == 1024 for v in s.keys.values()))

    def test_a_load_by_time_fills_warms_up_and_ends(self):
        with ModelService() as s:
            began = time.monotonic()
            r = pst('bench', s.url, '-c', 4, '-d', '0.5', '--warmup', '0.5', '--fill', '--keys', 60,
                    '--progress', '--zipf', '.99', '--mix', '0:1:0', '--size', '16-4K', '--json')
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertTrue(1.0 <= time.monotonic() - began < 10)
            result = json.loads(r.stdout)
            self.assertTrue(0.4 < result['seconds'] < 2)
            self.assertEqual(len(s.keys), 60)
            self.assertEqual(list(result['status']), ['200'])
            self.assertGreater(len({len(v) for v in s.keys.values()}), 10)
            self.assertIn('requests/s', r.stderr)

    def test_a_table_for_people(self):
        with ModelService() as s:
            r = pst('bench', s.url, '-c', 4, '-n', 200, '--mix', MIX, '--verify', self.file)
            self.assertEqual(r.returncode, 0, r.stderr)
            for word in ('throughput', 'p99.9', 'put', 'append', 'acknowledged', 'lost, wrong', 'client CPU'):
                self.assertIn(word, r.stdout)

    def test_everything_acknowledged_is_found_again(self):
        with ModelService() as s:
            loaded = self.load(s)
            self.assertEqual((loaded['lost'], loaded['wrong'], loaded['undecided']), (0, 0, 0))
            result = self.check(s)
            self.assertEqual(result['acknowledged_writes'], loaded['acknowledged'])
            self.assertEqual(result['entries'], sum(map(len, s.streams.values())))
            self.assertTrue(result['complete'])
            r = pst('bench', s.url, '--check', self.file)
            self.assertRegex(r.stdout, r'^checked \d+ acknowledged: lost 0, wrong 0\n')

    def test_answers_in_pieces_and_connections_that_close(self):
        with ModelService(close_every=7, dribble=True) as s:
            self.load(s, '--size', '0-20000', n=600)
            self.check(s)

    def test_bodies_of_every_small_size(self):
        with ModelService() as s:
            self.load(s, '--size', '0-40')
            self.check(s)

    def test_large_bodies(self):
        with ModelService() as s:
            self.load(s, '--size', '3M', '-c', 3, n=60)
            self.check(s)

    def test_an_ipv6_address(self):
        try:
            s = ModelService(host='::1')
        except OSError as e:
            self.skipTest(f'no IPv6 loopback here: {e}')
        with s:
            self.load(s, n=100)
            self.check(s)

    def test_the_limit_of_open_files(self):
        with ModelService() as s:
            limited = ['bench', s.url, '-c', '200', '-n', '400']
            r = shell('ulimit -Sn 64', *limited)
            self.assertEqual(r.returncode, 0, r.stderr)
            r = shell('ulimit -n 64', *limited)
            self.assertEqual(r.returncode, 2)
            self.assertIn('200 connections need 232 open files, 64 are allowed', r.stderr)

    def test_spinning(self):
        with ModelService() as s:
            self.load(s, '--spin', n=300)

    def test_runs_continue_a_file_with_other_numbers_of_connections(self):
        with ModelService() as s:
            for connections in (16, 3, 25):
                self.load(s, '-c', connections, '--seed', connections)
            self.assertEqual(self.check(s)['acknowledged_writes'], s.writes)

    def test_other_data_does_not_matter(self):
        with ModelService() as s:
            self.load(s)
            other = self.file + '2'
            r = pst('bench', s.url, '-n', 500, '--keys', 100, '--mix', MIX, '--verify', other)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.check(s)

    def test_a_service_that_is_full_or_refuses_changes_nothing(self):
        def some_refused(_, number, *__):
            return {0: (507, False), 1: (413, False)}.get(number % 10)

        with ModelService(on_write=some_refused) as s:
            result = self.load(s, status=1)
            self.assertGreater(result['full'], 50)
            self.assertEqual(result['errors'], result['status']['413'])
            self.assertEqual(result['undecided'], 0)
            self.check(s)

    def test_full_alone_is_no_error(self):
        with ModelService(on_write=lambda *_: (507, False)) as s:
            self.assertEqual(self.load(s)['full'], s.writes)
            self.check(s)

    def test_errors_that_say_nothing_may_or_may_not_have_happened(self):
        rng = random.Random(7)

        def some_failed(*_):
            return (500, rng.random() < .5) if rng.random() < .05 else None

        with ModelService(on_write=some_failed) as s:
            self.load(s, status=1)
            self.load(s, status=1)
            result = self.check(s)
            self.assertGreater(result['undecided_happened'] + result['undecided_did_not'], 0)
            # What was seen once must stay.
            again = self.check(s)
            self.assertEqual(again['undecided_happened'] + again['undecided_did_not'], 0)


class Crashes(Bench):
    def dying_after(self, writes, rng):
        def on_write(service, number, method, name, body):
            if number < writes:
                return None
            # What is in flight happens or not.
            if rng.random() < .5:
                service._write(method, name, body)
            return 'die'
        return on_write

    def test_a_service_killed_again_and_again_that_keeps_all(self):
        rng = random.Random(1)
        keys, streams = {}, {}
        for generation in range(6):
            with ModelService(self.dying_after(rng.randrange(1, 700), rng), keys=keys, streams=streams) as s:
                result = self.load(s, n=1000000, status=3)
                self.assertTrue(result['connection_lost'])
            with ModelService(keys=keys, streams=streams) as s:
                if generation % 2:
                    self.check(s)
                self.load(s, n=300)
                self.check(s)

    def test_the_loss_is_told_and_the_file_is_complete(self):
        with ModelService(self.dying_after(500, random.Random(2))) as s:
            r = pst('bench', s.url, '-c', 8, '-d', 30, '--mix', '1:0:0', '--verify', self.file)
            self.assertEqual(r.returncode, 3)
            self.assertRegex(r.stderr, r'connection lost after \d+ acknowledged: ')
            told = int(r.stderr.split('connection lost after ')[1].split()[0])
            self.assertTrue(491 <= told <= 499, told)
        with ModelService(keys=s.keys) as s2:
            self.assertEqual(self.check(s2)['acknowledged_writes'], told)

    def test_a_service_that_forgets_one_acknowledged_write_when_killed(self):
        with ModelService(self.dying_after(600, random.Random(3))) as s:
            self.load(s, n=1000000, status=3, mix='1:0:0')
        # A key that no undecided write excuses: not one of the last ones written.
        with ModelService(keys=s.keys) as s2:
            self.check(s2)
            any_key(s2, lambda keys, name: keys.pop(name))
            self.check(s2, status=1, lost=1)

    def test_what_was_seen_after_the_crash_must_stay(self):
        keys = {}
        state = {}

        def on_write(service, number, method, name, body):
            if number < 50:
                return None
            state['name'], state['old'], state['new'] = name, service.keys.get(name), body
            return 'die'

        with ModelService(on_write, keys=keys) as s:
            self.load(s, '-c', 1, n=1000, status=3, mix='1:0:0')
        with ModelService(keys=keys) as s:
            self.assertEqual(self.check(s)['undecided_did_not'], 1)
            s.keys[state['name']] = state['new']
            self.assertEqual(self.check(s, status=1, lost=None)['checked'], len(keys))

    def test_what_a_load_saw_must_stay(self):
        new = {}

        def on_write(service, number, method, name, body):
            if number == 50:
                new[name] = body
                return 500, False
            return None

        with ModelService(on_write) as s:
            self.load(s, '-c', 1, '--keys', 1, n=50, mix='1:0:0', status=1)
            self.load(s, '-c', 1, '--keys', 1, n=1, mix='0:1:0')
            s.keys.update(new)
            self.assertEqual(self.check(s, status=1, lost=None)['checked'], 1)

    def test_an_append_that_was_seen_not_to_be_there_must_not_appear(self):
        state = {}

        def on_write(service, number, method, name, body):
            if number == 50:
                state[name] = body
                return 500, False
            return None

        with ModelService(on_write) as s:
            self.load(s, '-c', 1, '--streams', 1, n=50, mix='0:0:1', status=1)
            self.assertEqual(self.check(s)['undecided_did_not'], 1)
            for name, body in state.items():
                s._write('POST', name, body)
            self.load(s, '-c', 1, '--streams', 1, n=10, mix='0:0:1')
            result = self.check(s, status=1, wrong=1)
            self.assertIn('no open append accounts for', result['findings'][0])

    def test_one_lost_connection_ends_the_load(self):
        def on_write(service, number, *_):
            if number == 100:
                raise ConnectionError

        with ModelService(on_write) as s:
            result = self.load(s, n=20000, status=3, mix='1:0:0')
            self.assertLess(result['requests'], 1000)
            self.assertEqual(result['undecided'], 1)
            self.check(s)

    def test_the_load_itself_is_killed(self):
        for _ in range(3):
            with ModelService() as s:
                if os.path.exists(self.file):
                    os.remove(self.file)
                load = subprocess.Popen([PST, 'bench', s.url, '-c', '16', '-d', '30', '--keys', '100',
                                         '--mix', MIX, '--size', '100', '--verify', self.file],
                                        stdout=subprocess.DEVNULL)
                time.sleep(.3)
                load.send_signal(signal.SIGKILL)
                load.wait()
                time.sleep(.1)
                self.assertGreater(self.check(s)['checked'], 0)
                self.load(s, n=200)
                self.check(s)

    def test_an_interrupted_load_ends_in_order(self):
        with ModelService() as s:
            load = subprocess.Popen([PST, 'bench', s.url, '-d', '30', '--verify', self.file, '--json'],
                                    stdout=subprocess.PIPE, text=True)
            time.sleep(.3)
            load.send_signal(signal.SIGINT)
            out, _ = load.communicate(timeout=10)
            self.assertEqual(load.returncode, 0)
            self.assertTrue(json.loads(out)['interrupted'])
            self.assertEqual(json.loads(out)['undecided'], 0)
            self.check(s)

    def test_a_service_that_is_not_there(self):
        with ModelService() as s:
            self.load(s, n=100)
        r = pst('bench', s.url, '-n', 10)
        self.assertEqual(r.returncode, 3)
        self.assertIn('Connection refused', r.stderr)
        self.assertEqual(pst('bench', s.url, '--check', self.file).returncode, 3)

    def test_a_service_that_hangs(self):
        hold = threading.Event()

        def on_write(_, number, *__):
            if number > 100:
                hold.wait(20)

        with ModelService(on_write) as s:
            r = pst('bench', s.url, '-c', 4, '-n', 1000, '--mix', '1:0:0', '--timeout', 1)
            hold.set()
            self.assertEqual(r.returncode, 3, r.stderr)
            self.assertIn('no answer for too long', r.stderr)


class Faults(Bench):
    """Each fault of the service must be seen, and named."""

    def found(self, service, word, **counts):
        result = self.check(service, status=1, **counts)
        self.assertTrue(any(word in text for text in result['findings']), result['findings'])
        r = pst('bench', service.url, '--check', self.file)
        self.assertEqual(r.returncode, 1)
        self.assertIn(word, r.stdout)
        return result

    def damaged(self, damage, word, **counts):
        with ModelService() as s:
            self.load(s)
            damage(s)
            return self.found(s, word, **counts)

    def test_a_key_is_gone(self):
        self.damaged(lambda s: any_key(s, lambda keys, name: keys.pop(name)), 'absent, should hold', lost=1)

    def test_every_key_is_gone_and_twenty_are_named(self):
        result = self.damaged(lambda s: s.keys.clear(), 'absent, should hold', lost=None)
        self.assertEqual(len(result['findings']), 20)
        self.assertGreater(result['lost'], 30)

    def test_a_flipped_bit(self):
        def flip(keys, name):
            value = bytearray(keys[name])
            value[-1] ^= 1
            keys[name] = bytes(value)
        self.damaged(lambda s: any_key(s, flip), 'bytes that are not those of', wrong=1)

    def test_a_value_cut_short(self):
        def cut(keys, name):
            keys[name] = keys[name][:-1]
        self.damaged(lambda s: any_key(s, cut), '99 bytes that are', wrong=1)

    def test_a_value_with_something_behind_it(self):
        def extend(keys, name):
            keys[name] += b'!'
        self.damaged(lambda s: any_key(s, extend), '101 bytes that are', wrong=1)

    def test_an_older_value(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0')
            old = dict(s.keys)
            self.load(s, mix='1:0:0')
            name = next(n for n in sorted(old) if old[n] != s.keys[n])
            s.keys[name] = old[name]
            self.found(s, 'should hold request', lost=1)

    def test_half_a_new_value_and_half_an_old_one(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0')
            old = dict(s.keys)
            self.load(s, mix='1:0:0')
            name = next(n for n in sorted(old) if old[n] != s.keys[n])
            s.keys[name] = s.keys[name][:50] + old[name][50:]
            self.found(s, 'bytes that are not those of', wrong=1)

    def test_a_deleted_key_is_back(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0')
            old = dict(s.keys)
            self.load(s, mix='0:0:0:1')
            name = next(n for n in sorted(old) if n not in s.keys)
            s.keys[name] = old[name]
            self.found(s, 'should be absent', lost=1)

    def test_a_deleted_key_is_back_with_nothing_in_it(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0')
            name = sorted(s.keys)[0]
            self.load(s, mix='0:0:0:1')
            s.keys[name] = b''
            self.found(s, '0 bytes that are not', wrong=1)

    def test_another_keys_value(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0')
            names = sorted(s.keys)
            s.keys[names[0]] = s.keys[names[1]]
            self.found(s, 'should hold request', lost=None)

    def test_an_entry_is_gone(self):
        def drop(s):
            entries = s.streams[sorted(s.streams)[0]]
            del entries[len(entries) // 2]
        self.damaged(drop, 'absent, should hold', lost=1)

    def test_the_last_entry_is_gone(self):
        def drop(s):
            entries = s.streams[sorted(s.streams)[0]]
            del entries[max(entries)]
        self.damaged(drop, 'absent, should hold', lost=1)

    def test_two_entries_changed_places(self):
        def swap(s):
            entries = s.streams[sorted(s.streams)[0]]
            entries[3], entries[4] = entries[4], entries[3]
        self.damaged(swap, 'should hold request', wrong=2)

    def test_wrong_bytes_in_an_entry(self):
        def flip(s):
            entries = s.streams[sorted(s.streams)[0]]
            entries[2] = entries[2][:60] + b'?' + entries[2][61:]
        self.damaged(flip, 'bytes that are not those of', wrong=1)

    def test_an_entry_that_nobody_asked_for(self):
        def invent(s):
            name = sorted(s.streams)[0]
            s._write('POST', name, b'who wrote this?')

        with ModelService() as s:
            self.load(s)
            invent(s)
            # Behind the end, with nothing undecided, nobody has a reason to look; what follows makes it a hole.
            self.load(s)
            self.found(s, 'no open append accounts for', wrong=1)

    def run_fault(self, what, word, **counts):
        """A fault of the run itself, at one append in the middle."""
        done = []

        def on_write(service, number, method, name, body):
            if method != 'POST' or done or service.next.get(name, 1) < 20:
                return None
            done.append(number)
            return what

        with ModelService(on_write) as s:
            r = pst('bench', s.url, '-c', 16, '-n', 2000, '--keys', 100, '--streams', 3, '--mix', MIX,
                    '--verify', self.file, '--json')
            self.assertIn(r.returncode, (0, 1), r.stderr)
            self.assertTrue(done)
            self.found(s, word, **counts)

    def test_a_sequence_number_given_twice(self):
        self.run_fault('duplicate', 'given to two appends', lost=None)

    def test_a_sequence_number_given_twice_is_seen_while_loading(self):
        with ModelService(lambda s, n, *_: 'duplicate' if n == 50 else None) as s:
            result = self.load(s, '-c', 1, n=100, mix='0:0:1', status=1)
            self.assertEqual(result['wrong'], 1)
            self.assertIn('was given already', result['findings'][0])

    def test_a_gap(self):
        self.run_fault('gap', 'a gap', wrong=1)

    def test_an_append_acknowledged_but_not_there(self):
        def on_write(service, number, method, name, body):
            if method == 'POST' and service.next.get(name, 1) == 20:
                service.next[name] = 21
                return 201, False
            return None

        with ModelService(on_write) as s:
            result = self.load(s, status=1)
            self.assertIn('without its seq', result['findings'][0])
            self.found(s, 'a gap', lost=None)

    def test_wrong_answers_are_seen_while_loading(self):
        def on_write(service, number, method, name, body):
            if method == 'PUT' and number > 500:
                return (204 if name in service.keys else 201), False  # acknowledged, not done
            return None

        with ModelService(on_write) as s:
            result = self.load(s, '--zipf', '.9', status=1, mix='20:80:0', n=4000)
            self.assertGreater(result['lost'], 100)

    def test_a_write_that_finds_its_key_gone(self):
        with ModelService() as s:
            self.load(s, mix='1:0:0', n=3000)
            s.keys.clear()
            result = self.load(s, mix='1:0:0', status=1, n=100)
            self.assertIn('answered with status 201, but it was there', result['findings'][0])

    def test_an_unreadable_value(self):
        class Unreadable(ModelService):
            def _read(self, path):
                return (500, b'') if path.endswith('7') else super()._read(path)

        with ModelService() as s:
            self.load(s, mix='1:0:0')
        with Unreadable(keys=s.keys) as s2:
            self.found(s2, 'answered with status 500', wrong=sum(n.endswith('7') for n in s.keys))


class File(Bench):
    def size(self):
        return os.path.getsize(self.file)

    def test_a_torn_end_is_cut(self):
        with ModelService() as s:
            self.load(s)
            with open(self.file, 'r+b') as f:
                f.truncate(self.size() - 7)
            self.check(s)
            self.assertEqual(self.size() % 32, 0)
            self.load(s)
            self.check(s)

    def test_zeroes_at_the_end_are_cut(self):
        with ModelService() as s:
            self.load(s)
            size = self.size()
            with open(self.file, 'ab') as f:
                f.write(bytes(10000))
            self.check(s)
            self.assertEqual(self.size(), size)

    def test_damage_in_the_middle_is_refused(self):
        with ModelService() as s:
            self.load(s)
            with open(self.file, 'r+b') as f:
                f.seek(64 + 32 * 100 + 5)
                f.write(b'\xff\xee')
            r = pst('bench', s.url, '--check', self.file)
            self.assertEqual(r.returncode, 2)
            self.assertIn('damaged at byte 3264', r.stderr)

    def test_other_files_are_refused_and_kept(self):
        with ModelService() as s:
            with open(self.file, 'w') as f:
                f.write('precious ' * 100)
            for option in ('--verify', '--check'):
                r = pst('bench', s.url, '-n' if option == '--verify' else '-c', 10, option, self.file)
                self.assertEqual(r.returncode, 2)
                self.assertIn('is no file of pst bench', r.stderr)
            self.assertEqual(self.size(), 900)
            self.assertEqual(pst('bench', s.url, '--check', self.file + 'none').returncode, 2)
            self.assertEqual(pst('bench', s.url, '-n', 1, '--verify', '/nowhere/x').returncode, 2)

    def test_a_file_is_used_by_one_at_a_time(self):
        with ModelService() as s:
            first = subprocess.Popen([PST, 'bench', s.url, '-d', '20', '--verify', self.file],
                                     stdout=subprocess.DEVNULL)
            while not os.path.exists(self.file) or not self.size():
                time.sleep(.01)
            r = pst('bench', s.url, '-n', 1, '--keys', 100, '--verify', self.file)
            first.send_signal(signal.SIGTERM)
            first.wait()
            self.assertEqual(r.returncode, 2)
            self.assertIn('another pst bench is using it', r.stderr)

    def test_a_file_that_cannot_grow_stops_the_load(self):
        with ModelService() as s:
            r = shell('trap "" XFSZ; ulimit -f 40', 'bench', s.url, '-n', '20000', '--verify', self.file)
            self.assertEqual(r.returncode, 2, r.stderr)
            self.assertIn('cannot go on writing it', r.stderr)
            self.check(s)

    def test_written_through(self):
        with ModelService() as s:
            self.load(s, '--verify-sync', n=200)
            self.check(s)


if __name__ == '__main__':
    unittest.main()
