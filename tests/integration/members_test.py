#!/usr/bin/python3
"""
Goal: a member that lost its directory, or that the log has left behind, does no harm: it does not
vote, counts for nothing and answers nothing old.
Method: a directory is emptied; a member is kept away until the log, made short, begins after it,
and another not for so long.
"""

import shutil
import subprocess

import quorder
from quorder import Gone, Refused, scale


class Emptied(quorder.Test):
    machines = (quorder.TOGGLE,)

    def test_neither_starts_nor_votes(self):
        client = self.cluster.client(self.rng)
        for i in range(20):
            client.call("order.create", id=f"e-{i}", machine="toggle", request_id="1")
        victim = self.cluster.others(self.cluster.leader())[0]
        others = self.cluster.others(victim)
        self.cluster.kill(victim)
        for path in self.cluster.data(victim).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for emptied in (True, False):
            if not emptied:
                self.cluster.data(victim).rmdir()
                self.cluster.data(victim).mkdir()
            done = self.cluster.run("restart", str(victim), check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            told = self.cluster.log(victim).read_text()
            self.assertIn("init", told.splitlines()[-1], "the way on is named")
            with self.assertRaises(Gone):
                self.cluster.call(victim, "ping")
            self.assertEqual(list(self.cluster.data(victim).iterdir()), [], "left as it was")
        # `start` does not make it anew either, and the others go on.
        self.assertEqual(self.cluster.run("start", check=False).returncode, 1)
        self.cluster.leader(others)
        for i in range(20):
            receipt = client.call("order.transition", id=f"e-{i}", event="go", request_id="2")
            self.assertEqual(receipt["version"], 2)
        # Without one of them there is no majority: the emptied one gives none.
        leader = self.cluster.leader(others)
        rest = [n for n in others if n != leader][0]
        self.cluster.kill(leader)
        self.cluster.run("restart", str(victim), check=False)
        call = self.cluster.connect(rest).call
        quorder.eventually(lambda: call("hello")["leader"] is None, what="no leader known")
        self.refused(301, call, "order.create", id="minority", machine="toggle")
        self.cluster.restart(leader)
        self.cluster.leader(others)
        client.call("order.create", id="majority", machine="toggle", request_id="m")
        client.close()

    def test_a_foreign_directory_is_refused(self):
        server = quorder.BUILD / "src" / "server" / "quorderd"
        foreign = self.cluster.directory / "foreign"
        foreign.mkdir()
        (foreign / "somebody's file").write_text("keep me")
        done = subprocess.run([server, "--data", str(foreign)], capture_output=True, text=True,
                              timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("init", done.stderr)
        done = subprocess.run([server, "init", "--data", str(foreign), "--id", "1", "--cluster",
                               "x", "--member", "1=127.0.0.1:9"], capture_output=True, text=True,
                              timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0, "init took a directory that is not empty")
        done = subprocess.run([server, "init", "--data", str(self.cluster.data(1)), "--id", "1",
                               "--cluster", "x", "--member", "1=127.0.0.1:9"],
                              capture_output=True, text=True, timeout=30, check=False)
        self.assertNotEqual(done.returncode, 0, "init took a directory that is in use")
        self.assertEqual([p.name for p in foreign.iterdir()], ["somebody's file"])


LOG_BYTES = 4 << 20


class Short(quorder.Test):
    """A cluster whose log is short."""

    machines = (quorder.TOGGLE,)
    flags = ("--log-bytes", str(LOG_BYTES))

    def fill(self, client, order, size):
        """Writes through the log until it has moved on by `size` bytes."""
        note, written, version = "n" * 12000, 0, 1
        while written < size:
            version += 1
            client.call("order.transition", id=order, event=quorder.toggle_event(version),
                        request_id=f"{order}/{version}", attributes={"note": note + str(version)})
            written += len(note)
        return version

    def member(self, asked, n):
        members = self.cluster.call(asked, "cluster.status")["members"]
        return [m for m in members if m["id"] == n][0]


class Away(Short):
    def test_a_member_that_was_away_at_an_election_catches_up(self):
        """The log still holds all that it lacks, though it no longer begins with entry 1."""
        client = self.cluster.client(self.rng)
        client.call("order.create", id="a", machine="toggle", request_id="a/1")
        self.fill(client, "a", 3 * LOG_BYTES)
        self.cluster.digests()
        for round_ in range(scale(1, 3, 10)):
            leader = self.cluster.leader()
            away, rest = self.cluster.others(leader)
            self.cluster.kill_at_once([leader, away])
            self.cluster.restart(leader)
            self.cluster.leader([leader, rest])  # Of a new term, which `away` has not heard of.
            quorder.pause(2.0)  # The leader has tried to reach it more than once.
            client.call("order.create", id=f"a-{round_}", machine="toggle", request_id="1")
            self.cluster.restart(away)
            self.cluster.digests()
            for n in self.cluster.all():
                for member in self.cluster.call(n, "cluster.status")["members"]:
                    self.assertNotEqual(member["state"], "needs_rebuild")
        client.close()


class Behind(Short):
    def test_counts_for_nothing_and_answers_nothing_old(self):
        client = self.cluster.client(self.rng)
        client.call("order.create", id="b", machine="toggle", request_id="b/1")
        leader = self.cluster.leader()
        behind, rest = self.cluster.others(leader)
        self.cluster.digests()
        self.cluster.kill(behind)
        version = self.fill(client, "b", 6 * LOG_BYTES)
        self.cluster.restart(behind)
        told = quorder.eventually(
            lambda: self.member(self.cluster.leader([leader, rest]), behind)["state"]
            == "needs_rebuild", 60, "the leader shows needs_rebuild")
        self.assertTrue(told)
        # It holds version 1. A linearizable read through it is the newest or an error.
        for _ in range(20):
            try:
                read = self.cluster.call(behind, "order.get", id="b", timeout_ms=1000)
                self.assertEqual(read["version"], version)
            except Refused as refused:
                self.assertIn(refused.number, (300, 301, 303))
        try:  # What it had executed before, if that had reached its store.
            local = self.cluster.call(behind, "order.get", id="b", consistency="local")
            self.assertLess(local["version"], version)
        except Refused as refused:
            self.assertEqual(refused.number, 200)
        # With it and the leader alone there is no majority for a write.
        leader = self.cluster.leader([leader, rest])
        rest = [n for n in self.cluster.others(leader) if n != behind][0]
        connection = self.cluster.connect(leader)
        self.cluster.kill(rest)
        for attempt in range(scale(2, 3, 3)):
            try:
                connection.call("order.create", id=f"alone-{attempt}", machine="toggle",
                                timeout_ms=1500)
                self.fail("a member that is behind made a majority")
            except Refused as refused:
                self.assertIn(refused.number, (301, 302, 303))
            # It may confirm that no other leads, for which its term is enough: the leader answers,
            # and what it answers is the newest.
            try:
                read = connection.call("order.get", id="b", timeout_ms=1500)
                self.assertEqual(read["version"], version)
            except Refused as refused:
                self.assertIn(refused.number, (301, 303))
        self.cluster.restart(rest)
        client.call("order.transition", id="b", event=quorder.toggle_event(version + 1),
                    request_id="b/again")
        client.close()

    def test_the_log_is_bounded(self):
        client = self.cluster.client(self.rng)
        client.call("order.create", id="bounded", machine="toggle", request_id="1")
        self.fill(client, "bounded", 8 * LOG_BYTES)
        client.close()
        leader = self.cluster.leader()

        size = sum(p.stat().st_blocks * 512 for p in (self.cluster.data(leader) / "log").iterdir())
        print(f"log of the leader: {size >> 20} MiB", flush=True)
        # Twice the bound (what is kept behind a snapshot), segments of 8 MiB made ready beside.
        self.assertLess(size, 4 * LOG_BYTES + (40 << 20))
        self.assertGreater(size, LOG_BYTES, "not the log")


if __name__ == "__main__":
    quorder.main()
