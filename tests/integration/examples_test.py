#!/usr/bin/python3
"""
Goal: a program of somebody else, built against the installed library, survives what clusters go
through without a line of its own for it.
Method: the client is installed into an empty prefix, the two example programs are built there by
pkg-config and run while leaders are killed.
"""

import os
import pathlib
import shlex
import subprocess
import threading

import quorder
from quorder import scale


def run(line, **more):
    done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{line}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Examples(quorder.Test):
    machines = (quorder.TOGGLE,)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        prefix = cls.cluster.directory / "prefix"
        run(["cmake", "--install", str(quorder.BUILD), "--component", "client", "--prefix", prefix])
        pc = next(prefix.rglob("quorder.pc"))
        cls.environment_of_programs = dict(os.environ, PKG_CONFIG_PATH=str(pc.parent),
                                           LD_LIBRARY_PATH=str(pc.parent.parent))
        flags = shlex.split(run(["pkg-config", "--cflags", "--libs", "quorder"],
                                env=cls.environment_of_programs))
        cache = (quorder.BUILD / "CMakeCache.txt").read_text()
        compiler = cls.cached(cache, "CMAKE_C_COMPILER")
        sanitizers = shlex.split(cls.cached(cache, "CMAKE_C_FLAGS"))
        for name in ("move_order", "follow_feed"):
            run([compiler, *sanitizers, "-std=c17", "-D_POSIX_C_SOURCE=200809L",
                 quorder.ROOT / "src" / "client" / "examples" / f"{name}.c",
                 "-o", cls.cluster.directory / name, *flags, "-pthread"],
                env=cls.environment_of_programs)

    @staticmethod
    def cached(cache, name):
        for line in cache.splitlines():
            if line.startswith(name + ":"):
                return line.split("=", 1)[1]
        raise AssertionError(f"{name} is not in CMakeCache.txt")

    def program(self, name, *arguments):
        path = pathlib.Path(self.cluster.directory) / name
        return run([path, ",".join(self.cluster.addresses()), *arguments],
                   env=self.environment_of_programs)

    def test_the_command_that_the_example_names(self):
        """As it stands in the example's header, but for the endpoints."""
        root = quorder.ROOT
        with self.cluster.client(self.rng) as client:
            client.call("machine.put", source=(
                root / "cluster" / "machines" / "marketplace.yaml").read_text())
        header = (root / "src" / "client" / "examples" / "move_order.c").read_text()
        line = next(line for line in header.splitlines() if line.startswith(" *     move_order "))
        words = line.split()[3:]
        told = self.program("move_order", *words)
        self.assertIn("now in canceled", told)
        self.assertEqual([e["event"] for e in self.cluster.history(self.cluster.leader(),
                                                                   words[1])],
                         ["create", words[2]])

    def test_move_order_twice_has_one_effect(self):
        first = self.program("move_order", "toggle", "moved", "go")
        again = self.program("move_order", "toggle", "moved", "go")
        self.assertNotIn("done before", first)
        self.assertEqual(again.count("done before"), 2, again)
        events = self.cluster.history(1, "moved")
        self.assertEqual([e["event"] for e in events], ["create", "go"])

    def test_both_while_leaders_die(self):
        count = scale(10, 30, 100)
        told = {}

        self.cluster.caught_up()  # A new leader may not have executed all yet.

        def follow():
            begin = self.cluster.call(self.cluster.leader(), "feed.read", from_seq=1,
                                      limit=1)["high_seq"] + 1
            started.set()
            told["feed"] = self.program("follow_feed", str(begin), str(2 * count))

        started = threading.Event()
        follower = threading.Thread(target=follow)
        follower.start()
        self.assertTrue(started.wait(60))
        for i in range(count):
            if i % 10 == 5:
                leader = self.cluster.leader()
                self.cluster.kill_at_once([leader])
            self.program("move_order", "toggle", f"dying-{i}", "go")
            if i % 10 == 8:
                self.cluster.restart(leader)
        follower.join(60)
        self.assertFalse(follower.is_alive(), "follow_feed does not come to the end")
        lines = [line for line in told["feed"].splitlines() if line.strip()]
        self.assertEqual(len(lines), 2 * count, told["feed"])
        for i in range(count):
            self.assertEqual(sum(f"dying-{i} " in line + " " for line in lines), 2, told["feed"])
            events = self.cluster.history(self.cluster.leader(), f"dying-{i}")
            self.assertEqual([e["event"] for e in events], ["create", "go"])


if __name__ == "__main__":
    quorder.main()
