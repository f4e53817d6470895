#!/usr/bin/python3
"""
Goal: a member whose disk is full or fails refuses or ends cleanly, the others go on, nothing
acknowledged is lost, and with a good disk again it comes back by itself when it is started.
Method: one node's directory lies on a small tmpfs that a file fills up; or it runs under
tests/support/failing_writes.c, which makes its writes or syncs fail; all under load. As leader and
as follower.
"""

import os
import pathlib
import shutil
import subprocess

import quorder
from quorder import scale

LIBRARY = quorder.preloaded("failing_writes.so")
BETWEEN = scale(100, 1000, 3000)  # Acknowledged writes between two events, at least.
STORAGE = 12                      # The exit status of a failed disk.
SMALL = 160 << 20                 # Bytes of the small file system.


class Storage(quorder.Test):
    """What both have: load, and a member that must come back with all that was acknowledged."""

    machines = (quorder.TOGGLE,)

    def start_walkers(self):
        self.walkers = [quorder.Walker(self.cluster, f"storage-{i}", 40, self.rng.random(), 20)
                        for i in range(4)]
        for walker in self.walkers:
            walker.daemon = True
            walker.start()

    def load(self, count=BETWEEN):
        quorder.load(self.walkers, count)

    def victim(self, leads):
        leader = self.cluster.leader()
        return leader if leads else self.rng.choice(self.cluster.others(leader))

    def ends_for_its_disk(self, n):
        """Node n ends by itself, and says that its disk is why.

        Debian's RocksDB has its assertions on: one of them may end the process first, when a write
        in one of its own threads fails and the file is closed.
        """
        quorder.eventually(lambda: self.cluster.ended(n), 120, f"the end of node {n}")
        last = self.cluster.log(n).read_text(errors="replace").splitlines()[-1]
        if "AssertFalseAndGetStatusForPrevError" not in last:
            self.assertIn(f"status={STORAGE}", last)
            self.assertIn(" error fatal ", last)
        return last

    def all_is_there(self):
        for walker in self.walkers:
            walker.finish()
        self.cluster.digests()
        for n in self.cluster.all():
            for walker in self.walkers:
                walker.check(self.cluster, n)
            quorder.check_feed(self.cluster.feed(n))


class Failing(Storage):
    environment = f"LD_PRELOAD={LIBRARY}"

    def control(self, n):
        return pathlib.Path(f"{self.cluster.data(n)}.fails")

    def test_ends_before_it_tells_anybody_anything(self):
        self.start_walkers()
        for how in ("EIO", "EIO-sync", "ENOSPC"):
            for leads in (False, True):
                with self.subTest(how=how, leads=leads):
                    self.load()
                    n = self.victim(leads)
                    self.control(n).write_text(how)
                    if how == "EIO-sync":
                        self.meets_a_sync(n)
                    else:
                        print(how, leads, self.ends_for_its_disk(n)[-200:], flush=True)
                    self.load()  # The others go on.
                    # With the disk as it is, it does not come back; with a good one it does.
                    self.cluster.kill(n)
                    if how == "EIO":
                        done = self.cluster.run("restart", str(n), check=False)
                        self.assertNotEqual(done.returncode, 0, done.stdout)
                    self.control(n).unlink()
                    self.cluster.restart(n)
        self.all_is_there()

    def meets_a_sync(self, n):
        """The log's writes are durable by O_DSYNC; syncs come when it starts and with files."""
        self.cluster.kill(n)
        done = self.cluster.run("restart", str(n), check=False)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        print("EIO-sync", self.ends_for_its_disk(n)[-200:], flush=True)


class Full(Storage):
    """Node directories on tmpfs of their own, in a mount namespace that ends with this test."""

    flags = ("--disk-reserve", "1", "--log-bytes", "8388608", "--memtable-bytes", "1048576",
             "--cache-bytes", "16777216")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for n in cls.cluster.all():
            cls.move_to_small_disk(n)

    @classmethod
    def move_to_small_disk(cls, n):
        cls.cluster.kill(n)
        data, aside = cls.cluster.data(n), cls.cluster.directory / f"aside-{n}"
        data.rename(aside)
        data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", data], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", data], check=False)
        for path in aside.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, data / path.name)
        shutil.rmtree(aside)
        cls.cluster.restart(n)

    def fill(self, n, leave):
        """Fills the disk of node n up to `leave` bytes, while others write to it too."""
        with open(self.cluster.data(n) / "filler", "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 20)) > 0:
                    pass
            except OSError:
                file.truncate(file.tell() - leave)

    def free(self, n):
        (self.cluster.data(n) / "filler").unlink()

    def test_comes_back_when_there_is_room(self):
        self.start_walkers()
        for leads in (False, True):
            with self.subTest(leads=leads):
                self.load()
                n = self.victim(leads)
                self.fill(n, 4096)
                print(leads, self.ends_for_its_disk(n)[-200:], flush=True)
                self.load()  # The others go on.
                self.free(n)
                self.cluster.kill(n)
                self.cluster.restart(n)
                self.cluster.caught_up()
        self.all_is_there()

    def test_refuses_below_the_reserve_and_goes_on_by_itself(self):
        for n in self.cluster.all():
            self.cluster.restart(n, "--disk-reserve", str(SMALL // 4))
        leader = self.cluster.leader()
        self.fill(leader, SMALL // 5)
        call = self.cluster.connect(leader).call
        names = iter(range(1 << 30))

        def refused():
            try:
                call("order.create", id=f"full-{next(names)}", machine="toggle")
            except quorder.Refused as refused:
                return refused.number == 400 and refused.details["reason"] == "disk"
            return False

        quorder.eventually(refused, what="a refusal for the disk")
        self.assertFalse(self.cluster.ended(leader))
        self.free(leader)
        quorder.eventually(lambda: not refused(), what="writes again")


if __name__ == "__main__":
    if os.environ.get("QO_OWN_MOUNTS") != "yes":
        os.environ["QO_OWN_MOUNTS"] = "yes"
        # Root or not: a namespace of our own, in which mounting harms nobody.
        how = ["-m"] if os.geteuid() == 0 else ["-rm"]
        os.execvp("unshare", ["unshare", *how, "/usr/bin/python3", *os.sys.argv])
    quorder.main()
