#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""kill_loop.py PST --medium shm|file [--over sockets|xdp] [--rounds N] [--seed N] [--faulty PST]

Kill `pst serve` with SIGKILL under `pst bench --verify`, again and again, and demand after each time that everything
acknowledged is there. A region lives for several rounds, so that what one life leaves behind is another's start; it
is small and most of it is live, so that checkpoints and the cleaner run all the time. A round is one of

    load      killed under load
    startup   killed in the first milliseconds of some starts in a row, during recovery
    close     SIGTERM under load, killed while it closes
    clean     SIGTERM under load: it must end with status 0, and the region be marked as closed clean

Over kernel sockets each life has one worker, or two, or three (--workers). After each, `pst check` must find the region sound before anybody serves it again. With --faulty, a `pst` whose disk has
a cache that is lost with the process (disk_layer.c): what was not synced in time is gone, as after a power cut.

Over `xdp` our own TCP serves, on the near end of a veth pair; the load comes from another namespace, sometimes from our own
TCP and sometimes from the kernel's, over IPv4 or IPv6. Default: sockets, on loopback.

The region and what was acknowledged are kept if something is wrong. $PASTE_KILL_ROUNDS overrides --rounds.
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'e2e'))
from running import SKIPPED, Bench, NotReady, Service, check, create, end_on_signal, folder_on, info, prove  # noqa: E402
from disk import Disk  # noqa: E402
from veth_pair import ADDRESS, HERE, THERE, Pair  # noqa: E402

MIB = 1 << 20
ROUNDS_A_REGION = 5
PROFILES = ('churn', 'small', 'large', 'tiny')
PORT = 8080
KINDS = ('load', 'load', 'startup', 'close', 'clean')


class Profile:
    """What a region is loaded with."""

    def __init__(self, rng, name):
        self.name = name
        self.size = rng.choice((16, 24, 32, 64) if name != 'churn' else (16, 24)) * MIB
        self.connections = rng.choice((1, 4, 16, 40) if name != 'churn' else (16, 40))
        if name == 'churn':  # everything together; the mean body is some 6 KiB
            bodies, mean, mix = '0-65536', 6500, '700:150:1:150'
        elif name == 'small':
            bodies, mean, mix = '0-600', 80, '500:200:30:270'
        elif name == 'large':
            bodies, mean, mix = '8192-65536', 30000, '650:150:1:200'
        else:
            bodies, mean, mix = '0-64', 20, '400:100:20:480'
        # Of the keys, some four in five are there at a time. At the upper end the cleaner can hardly keep up, and
        # some writes are answered 507.
        keys = int(self.size * rng.uniform(.4 if name != 'churn' else .8, 1.1) / (mean + 150))
        self.args = ['-c', self.connections, '--size', bodies, '--mix', mix, '--keys', max(200, min(keys, 60000)),
                     '--streams', 4, '--timeout', 20, *rng.choice(([], ['--zipf', .99]))]

    def __str__(self):
        return f'{self.size // MIB} MiB, {self.name}, {self.connections} connections'


class Loop:
    def __init__(self, args, pair):
        self.pst = os.path.abspath(args.pst)
        self.pair = pair
        self.medium = args.medium
        self.faulty = os.path.abspath(args.faulty) if args.faulty else None
        self.rng = random.Random(args.seed)
        self.disk = None
        self.lives = 0
        self.counts = dict.fromkeys(KINDS, 0)
        self.acknowledged = self.proven = self.undecided = self.cleaned = self.checkpoints = self.kills = 0

    def service(self, region, wait=True):
        if self.pair:
            host = self.rng.choice((ADDRESS[4][0], f'[{ADDRESS[6][0]}]'))
            return Service(self.pst, region, '--public', '--xdp', HERE, http=f'{host}:{PORT}', wait=wait)
        workers = '--workers', self.rng.choice((1, 1, 2, 3))
        if not self.faulty:
            return Service(self.pst, region, *workers, wait=wait)
        # The layer between us and the disk makes calls of its own.
        return Service(self.faulty, region, *workers, '--no-seccomp', env=self.disk.env, wait=wait)

    def client(self):
        """How pst bench gets to the service: arguments, and what runs it."""
        if not self.pair:
            return (), ()
        return self.rng.choice((('--xdp', THERE), ())), self.pair.there()

    def bench(self, service, profile, ledger, seconds):
        args, prefix = self.client()
        return Bench(self.pst, service, *profile.args, '-d', seconds, '--seed', self.rng.randrange(1 << 31),
                     '--verify', ledger, *args, prefix=prefix)

    def prove(self, service, ledger):
        args, prefix = self.client()
        return prove(self.pst, service, ledger, *args, prefix=prefix)

    def under_load(self, region, ledger, profile, end):
        """A life of the service: what the last ones acknowledged is there; then load, in which end(service) ends it."""
        with self.service(region) as service:
            if ledger.exists():
                found = self.prove(service, ledger)
                self.proven = found['checked']
                self.undecided += found['undecided_happened'] + found['undecided_did_not']
            bench = self.bench(service, profile, ledger, 60)
            try:
                time.sleep(self.rng.choice((.05, .3, 1, 2)) * self.rng.uniform(.5, 1.5))
                if bench.process.poll() is not None:
                    raise AssertionError(f'pst bench ended early: {bench.result()}')
                m = service.metrics() if not self.pair and self.rng.random() < .7 else {}
                self.cleaned += m.get('paste_store_cleaned_segments_total', 0)
                self.checkpoints += m.get('paste_store_checkpoints_total', 0)
                end(service)
                status, found = bench.result()
            finally:
                bench.kill()
        if status != 3 or found.get('lost') or found.get('wrong'):
            raise AssertionError(f'pst bench: status {status}, wanted 3 (connection lost)\n{found}')
        self.acknowledged += found.get('acknowledged', 0)

    def kill(self, service):
        if service.end(signal.SIGKILL) != -signal.SIGKILL:
            raise AssertionError(f'ended by itself: {service.said()}')
        self.kills += 1

    def startup(self, region, ledger, profile):
        self.under_load(region, ledger, profile, self.kill)
        for _ in range(self.rng.randint(1, 4)):
            with self.service(region, wait=False) as service:
                # Some 5 ms to exec and map, then recovery, then ready.
                time.sleep(self.rng.uniform(0, .03))
                self.kill(service)

    def close(self, region, ledger, profile):
        def end(service):
            service.process.send_signal(signal.SIGTERM)
            time.sleep(self.rng.choice((0, .001, .004, .02)) * self.rng.random())
            if service.end(signal.SIGKILL) not in (0, -signal.SIGKILL):
                raise AssertionError(f'closing failed: {service.said()}')
            self.kills += 1

        self.under_load(region, ledger, profile, end)

    def clean(self, region, ledger, profile):
        def end(service):
            if service.end(signal.SIGTERM) != 0:
                raise AssertionError(f'SIGTERM: {service.said()}')

        self.under_load(region, ledger, profile, end)
        if not info(self.pst, region)['clean']:
            raise AssertionError('SIGTERM ended with status 0, but the region is not marked as closed clean')

    def round(self, kind, region, ledger, profile):
        if kind == 'load':
            self.under_load(region, ledger, profile, self.kill)
        else:
            getattr(self, kind)(region, ledger, profile)
        check(self.pst, region)
        self.counts[kind] += 1

    def life(self, folder, rounds):
        """Some rounds on one region; how many."""
        profile = Profile(self.rng, PROFILES[self.lives % len(PROFILES)])
        self.lives += 1
        region, ledger = folder / 'region', folder / 'acknowledged'
        for path in folder.iterdir():
            path.unlink()
        create(self.pst, region, profile.size, self.medium)
        if self.faulty:
            self.disk = Disk(folder / 'disk', cache=True)
        for n in range(rounds):
            kind = self.rng.choice(KINDS)
            print(f'{profile}: {kind}', flush=True)
            self.round(kind, region, ledger, profile)
        with self.service(region) as service:
            self.prove(service, ledger)
            if service.end(signal.SIGTERM) != 0:
                raise AssertionError(service.said())
        check(self.pst, region)
        return rounds


def keep(folder, medium):
    to = pathlib.Path(os.getcwd()) / f'kill-failed.{medium}.{os.getpid()}'
    shutil.copytree(folder, to)
    print(f'kept: {to}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pst')
    parser.add_argument('--medium', choices=('shm', 'file'), required=True)
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--faulty', metavar='PST')
    parser.add_argument('--over', choices=('sockets', 'xdp'), default='sockets')
    args = parser.parse_args()
    end_on_signal()
    rounds = int(os.environ.get('PASTE_KILL_ROUNDS', args.rounds))
    print(f'seed {args.seed}')
    try:
        loop = Loop(args, Pair(queues=2) if args.over == 'xdp' else None)
    except unittest.SkipTest as why:
        print(why)
        return SKIPPED
    begun = time.monotonic()
    with folder_on(args.medium) as folder:
        try:
            done = 0
            while done < rounds:
                done += loop.life(folder, min(ROUNDS_A_REGION, rounds - done))
        except unittest.SkipTest as why:
            print(why)
            return SKIPPED
        except (AssertionError, NotReady, KeyError) as wrong:
            print(f'FAILED in round {sum(loop.counts.values()) + 1}, seed {args.seed}: {wrong!r}\n{wrong}')
            keep(folder, args.medium)
            return 1
    kinds = ', '.join(f'{n} {kind}' for kind, n in loop.counts.items())
    print(f'{done} rounds over {args.over} on {args.medium} ({kinds}), {loop.kills} kills, {loop.acknowledged:,} writes acknowledged: '
          f'lost 0, wrong 0; {loop.undecided:,} undecided ones settled, {loop.cleaned:,.0f} segments cleaned, '
          f'{loop.checkpoints:,.0f} checkpoints (seen), {time.monotonic() - begun:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
