#!/usr/bin/python3
"""
Goal: cluster/local does what its help says and ends with 0 only when that has happened.
Method: each command on a real cluster, with what is true of processes and ports afterwards; wrong
lines and wrong directories.
"""

import os
import pathlib
import signal
import socket
import subprocess

import quorder
from quorder import Gone


def state(pid):
    """R, S, D, T ...; None when the process is gone."""
    try:
        text = (pathlib.Path("/proc") / str(pid) / "stat").read_text()
    except FileNotFoundError:
        return None
    letter = text.rsplit(")", 1)[1].split()[0]
    return None if letter in "ZX" else letter


class Local(quorder.Test):
    def local(self, status, *words, pointer=None):
        environment = dict(self.cluster.environment)
        if pointer:
            environment["QUORDER_POINTER"] = str(pointer)
        done = subprocess.run([quorder.LOCAL, *words], env=environment, capture_output=True,
                              text=True, timeout=180, check=False, cwd=self.cluster.directory)
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def test_wrong_lines(self):
        data = ("--data", str(self.cluster.directory))
        for words in ((), ("begin",), ("kill",), ("kill", "x"), ("kill", "0"), ("kill", "1", "2"),
                      ("stop", "1"), ("start", "--nodes", "0"), ("start", "--nodes"),
                      ("start", "--base-port", "99999"), ("status", "--nodes", "3"),
                      ("status", "--verbose"), ("kill", "4", *data)):
            with self.subTest(words=words):
                self.assertIn("usage:", self.local(2, *words))
        self.assertIn("usage:", self.local(0, "--help"))
        told = self.local(2, "kill", "x").splitlines()[-1]
        self.assertEqual(told, "cluster/local: node must be a number from 1 to 9, not 'x'")

    def test_wrong_directories(self):
        self.local(1, "status", "--data", "/nowhere")
        self.local(1, "status", pointer=self.cluster.directory / "no pointer")
        self.local(1, "start", "--nodes", "5", "--data", str(self.cluster.directory))
        self.local(1, "start", "--base-port", "30000", "--data", str(self.cluster.directory))
        half = self.cluster.directory / "half"
        (half / "node-1").mkdir(parents=True)
        self.assertIn("no file 'cluster'", self.local(1, "start", "--data", str(half)))
        self.assertEqual([p.name for p in half.iterdir() if p.name != "lock"], ["node-1"])

    def test_a_port_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            base = taken.getsockname()[1] - 2
            other = self.cluster.directory / "other"
            told = self.local(1, "start", "--base-port", str(base), "--data", str(other))
            self.assertIn(f"port {base + 2} is taken", told)

    def test_finds_the_cluster_by_itself(self):
        told = self.local(0, "status")
        self.assertIn(str(self.cluster.directory), told)
        self.assertIn(str(self.cluster.directory), self.local(0, "--data", ".", "status"))

    def test_kill_and_restart(self):
        for words in (("kill", "2"), ("kill", "2", "--data", str(self.cluster.directory))):
            pid = self.cluster.pid(2)
            self.local(0, *words)
            self.assertIsNone(state(pid))
            with self.assertRaises(Gone):
                self.cluster.call(2, "ping")
            self.assertIn("stopped", self.local(0, "status"))
            self.local(0, "restart", "--data", str(self.cluster.directory), "2")
            self.assertNotEqual(self.cluster.pid(2), pid)
            self.cluster.call(2, "ping")
        self.local(0, "kill", "2")
        self.local(0, "kill", "2")  # Gone is gone.
        self.local(1, "pause", "2")
        self.local(0, "restart", "2")
        pid = self.cluster.pid(2)
        self.local(0, "restart", "2")  # One that runs is ended first.
        self.assertIsNone(state(pid))
        self.cluster.call(2, "ping")

    def test_pause_and_resume(self):
        pid = self.cluster.pid(3)
        self.local(0, "pause", "3")
        self.assertEqual(state(pid), "T")
        self.assertIn("paused", self.local(0, "status"))
        self.local(0, "resume", "3")
        self.assertNotEqual(state(pid), "T")
        self.cluster.call(3, "ping")
        self.local(0, "pause", "3")
        self.local(0, "kill", "3")
        self.assertIsNone(state(pid))
        self.local(0, "restart", "3")

    def test_start_keeps_what_is_there(self):
        self.cluster.leader()
        client = self.cluster.client(self.rng)
        client.call("machine.put", source=quorder.TOGGLE)
        client.call("order.create", id="kept", machine="toggle", request_id="1")
        pids = [self.cluster.pid(n) for n in self.cluster.all()]
        self.local(0, "start", "--data", str(self.cluster.directory))
        self.assertEqual([self.cluster.pid(n) for n in self.cluster.all()], pids, "left running")
        self.local(0, "kill", "1")
        self.local(0, "pause", "2")
        self.local(0, "start", "--data", str(self.cluster.directory))
        self.local(0, "pause", "3")
        self.local(0, "stop")
        for pid in pids:
            self.assertIsNone(state(pid))
        self.local(0, "stop")
        self.local(0, "start", "--data", str(self.cluster.directory))
        self.assertEqual(client.call("order.get", id="kept")["version"], 1)
        client.close()

    def test_a_foreign_process_is_left_alone(self):
        """A pid file that names somebody else's process by now."""
        self.local(0, "kill", "1")
        other = subprocess.Popen(["sleep", "600"])
        try:
            (self.cluster.directory / "node-1.pid").write_text(f"{other.pid}\n")
            self.assertIn("stopped", self.local(0, "status"))
            self.local(0, "kill", "1")
            self.assertIsNone(other.poll())
        finally:
            other.send_signal(signal.SIGKILL)
            other.wait()
        self.local(0, "restart", "1")

    def test_flags_are_repeated(self):
        self.local(0, "restart", "1", "--", "--log-level", "debug")
        self.local(0, "kill", "1")
        self.local(0, "restart", "1")
        line = (pathlib.Path("/proc") / str(self.cluster.pid(1)) / "cmdline").read_bytes()
        self.assertIn(b"\0--log-level\0debug\0", line)
        told = self.local(1, "restart", "1", "--", "--log-level", "loud")
        self.assertIn("loud", told)
        self.local(0, "restart", "1")  # As it ran before.
        line = (pathlib.Path("/proc") / str(self.cluster.pid(1)) / "cmdline").read_bytes()
        self.assertIn(b"\0--log-level\0debug\0", line)
        self.assertFalse(os.path.exists(self.cluster.directory / "node-2.flags")
                         and (self.cluster.directory / "node-2.flags").read_text().strip())


if __name__ == "__main__":
    quorder.main()
