#!/usr/bin/python3
"""
Goal: a member that stopped reading, or is gone, costs the others a bounded amount of memory.
Method: quorder-bench at full speed on nodes with small bounds; the leader's resident memory is
looked at all the time, with all members there, with one stopped (SIGSTOP: its socket stays open and
takes nothing), and with one killed. Prints the figures.
"""

import os
import signal
import subprocess

import quorder
from quorder import scale

BENCH = quorder.BUILD / "tools" / "bench" / "quorder-bench"
SECONDS = scale(3, 8, 60)
MORE_AT_MOST = 96 << 20  # Over what it takes with all members there: windows, allocator, chance.


class Memory(quorder.Test):
    flags = ("--log-bytes", "16777216", "--memtable-bytes", "4194304", "--cache-bytes", "16777216",
             "--block-cache-bytes", "16777216")

    def peak(self, orders):
        """The most that the leader held while the load ran, in bytes."""
        leader = self.cluster.leader([n for n in self.cluster.all() if n not in self.away])
        bench = subprocess.Popen(
            [BENCH, "--endpoints", self.cluster.address(leader), "--quiet", "--warmup", "1",
             "--seconds", str(SECONDS), "--orders", str(orders), "--connections", "16",
             "--output", "json"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        most = 0
        while bench.poll() is None:
            most = max(most, self.cluster.rss(leader))
            quorder.pause(0.05)
        told = bench.stdout.read()
        self.assertEqual(bench.returncode, 0, told)
        return most

    def test_a_stuck_peer_costs_a_bounded_amount(self):
        self.away = set()
        self.peak(5000)  # Caches and allocators fill up.
        whole = self.peak(5000)
        victim = self.cluster.others(self.cluster.leader())[0]
        pid = self.cluster.pid(victim)
        self.away = {victim}
        os.kill(pid, signal.SIGSTOP)
        stopped = self.peak(5000)
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGKILL)
        self.cluster.kill(victim)
        gone = self.peak(5000)
        for name, bytes_ in (("all there", whole), ("one stopped", stopped), ("one gone", gone)):
            print(f"leader with {name}: {bytes_ >> 20} MiB at most", flush=True)
        self.assertLess(stopped, whole + MORE_AT_MOST)
        self.assertLess(gone, whole + MORE_AT_MOST)


if __name__ == "__main__":
    quorder.main()
