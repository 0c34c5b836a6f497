#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""udp_loop.py PST --over xdp|sockets --medium shm|file [--rounds N] [--seed N]

Kill `pst serve --udp` with SIGKILL while `pst bench udp://... --verify` loads it, again and again: every datagram whose
answer was seen must be an entry, bit-identical, after each. Over `xdp` the load comes from another namespace through a veth
pair whose near end the service has taken; over `sockets`, on loopback.

A region lives for a few rounds. The region and what was acknowledged are kept if something is wrong. $PASTE_KILL_ROUNDS
overrides --rounds.
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
from running import SKIPPED, Bench, NotReady, Service, check, create, end_on_signal, folder_on, prove  # noqa: E402
from veth_pair import ADDRESS, HERE, Pair  # noqa: E402

ROUNDS_A_REGION = 4
STREAM, PORT = 'messages', 9000


class Loop:
    def __init__(self, args, pair):
        self.pst = os.path.abspath(args.pst)
        self.medium, self.pair = args.medium, pair
        self.rng = random.Random(args.seed)
        self.acknowledged = self.undecided = self.unanswered = self.kills = 0

    def service(self, region):
        if self.pair:
            args = ['--public', '--xdp', HERE, '--udp', f'{PORT}:{STREAM}']
        else:
            args = ['--udp', f'0:{STREAM}']
        if self.rng.random() < .3:
            args.append('--spin')
        return Service(self.pst, region, *args)

    def bench(self, service, ledger):
        if self.pair:
            host, prefix = f'{ADDRESS[4][0]}:{PORT}', self.pair.there()
            if self.rng.random() < .5:
                host = f'[{ADDRESS[6][0]}]:{PORT}'
        else:
            host, prefix = self.rng.choice(service.listens['udp'].split(',')), ()
        return Bench(self.pst, service, '-c', self.rng.choice((1, 8, 50)), '-d', 30, '--timeout', 20, '--stream', STREAM,
                     '--size', self.rng.choice(('1024', '0-1440', '16-200')), '--verify', ledger,
                     '--seed', self.rng.randrange(1 << 31), url=f'udp://{host}', prefix=prefix)

    def prove(self, service, ledger):
        if not ledger.exists():
            return
        found = prove(self.pst, service, ledger, '--stream', STREAM)
        self.undecided += found['undecided_happened'] + found['undecided_did_not']

    def round(self, region, ledger):
        with self.service(region) as service:
            self.prove(service, ledger)
            bench = self.bench(service, ledger)
            try:
                time.sleep(self.rng.choice((.2, .5, 1)) * self.rng.uniform(.5, 1.5))
                if bench.process.poll() is not None:
                    raise AssertionError(f'pst bench ended early: {bench.result()}')
                if service.end(signal.SIGKILL) != -signal.SIGKILL:
                    raise AssertionError(f'ended by itself: {service.said()}')
                self.kills += 1
                status, found = bench.result()
            finally:
                bench.kill()
        if status != 3 or found.get('lost') or found.get('wrong'):
            raise AssertionError(f'pst bench: status {status}, wanted 3 (connection lost)\n{found}')
        self.acknowledged += found.get('acknowledged', 0)
        self.unanswered += found.get('unanswered', 0)
        check(self.pst, region)

    def life(self, folder, rounds):
        region, ledger = folder / 'region', folder / 'acknowledged'
        for path in folder.iterdir():
            path.unlink()
        create(self.pst, region, '96M', self.medium)
        for _ in range(rounds):
            self.round(region, ledger)
        with self.service(region) as service:
            self.prove(service, ledger)
            if service.end(signal.SIGTERM) != 0:
                raise AssertionError(service.said())
        check(self.pst, region)
        return rounds


def keep(folder):
    to = pathlib.Path(os.getcwd()) / f'kill-failed.udp.{os.getpid()}'
    shutil.copytree(folder, to)
    print(f'kept: {to}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pst')
    parser.add_argument('--over', choices=('xdp', 'sockets'), required=True)
    parser.add_argument('--medium', choices=('shm', 'file'), required=True)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    args = parser.parse_args()
    end_on_signal()
    rounds = int(os.environ.get('PASTE_KILL_ROUNDS', args.rounds))
    print(f'seed {args.seed}')
    begun = time.monotonic()
    try:
        pair = Pair(queues=2) if args.over == 'xdp' else None
        loop = Loop(args, pair)
        with folder_on(args.medium) as folder:
            try:
                done = 0
                while done < rounds:
                    done += loop.life(folder, min(ROUNDS_A_REGION, rounds - done))
            except (AssertionError, NotReady, KeyError) as wrong:
                print(f'FAILED after {loop.kills} kills, seed {args.seed}: {wrong!r}\n{wrong}')
                keep(folder)
                return 1
    except unittest.SkipTest as why:
        print(why)
        return SKIPPED
    if not loop.acknowledged:
        print('FAILED: nothing was acknowledged, so nothing was shown')
        return 1
    print(f'{loop.kills} kills over {args.over} on {args.medium}, {loop.acknowledged:,} datagrams acknowledged: lost 0, wrong 0; '
          f'{loop.unanswered:,} unanswered, {loop.undecided:,} undecided ones settled, {time.monotonic() - begun:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
