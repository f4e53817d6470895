#!/usr/bin/python3
"""
Goal: a flipped bit on a member's disk is found or does not matter: the member refuses to start,
stops when it meets it, or goes on with right data. It never serves wrong data, and the other two go
on.
Method: all nodes are killed under load; one bit of a byte in use is flipped in one node's log,
metadata or store; all are started. A node that runs must answer every order, its history and the
whole feed as another does. Then the bit is flipped back and the node must be well again.
"""

import collections

import quorder
from quorder import Gone, scale

FLIPS = scale(5, 20, 200)
BETWEEN = scale(100, 400, 400)  # Acknowledged writes before each flip, at least.
HEADER = 4096                   # Of a segment of the log.

# Where a bit is flipped: name, files, from which byte on, up to which.
PLACES = (
    ("log record", "log/segment-*", HEADER, None),
    ("log header", "log/segment-*", 0, HEADER),
    ("log metadata", "log/[vm]*", 0, None),
    ("node metadata", "*", 0, None),
    ("store table", "store/db/*.sst", 0, None),
    ("store metadata", "store/db/[MCOI]*", 0, None),
)


class Flip:
    """One bit of a byte that is not zero: what was never written is zero."""

    def __init__(self, rng, path, begin, end):
        data = path.read_bytes()[begin:end]
        used = [at for at, byte in enumerate(data) if byte]
        self.path = path
        self.at = begin + rng.choice(used)
        self.bit = 1 << rng.randrange(8)
        self.around = None
        self.toggle()

    @staticmethod
    def candidates(directory, pattern, begin, end):
        return [path for path in sorted(directory.glob(pattern))
                if path.is_file() and any(path.read_bytes()[begin:end])]

    def toggle(self):
        """Flips it; the second time only if the bytes around are still those of the first."""
        try:
            with open(self.path, "r+b") as file:
                file.seek(max(0, self.at - 8))
                around = bytearray(file.read(17))
                if self.around is not None and self.around != around:
                    return
                around[min(self.at, 8)] ^= self.bit
                file.seek(max(0, self.at - 8))
                file.write(around)
                self.around = around
        except FileNotFoundError:
            pass

    def __str__(self):
        return f"{self.path.name} byte {self.at} bit {self.bit:#x}"


class Flips(quorder.Test):
    machines = (quorder.TOGGLE,)
    flags = ("--log-bytes", "4194304", "--memtable-bytes", "1048576")

    def load(self, count):
        quorder.load(self.walkers, count)

    def flip(self, n):
        """Flips a bit of node n, in a place that has one."""
        while True:
            place, pattern, begin, end = self.rng.choice(PLACES)
            found = Flip.candidates(self.cluster.data(n), pattern, begin, end)
            if found:
                return place, Flip(self.rng, self.rng.choice(found), begin, end)

    def told_why(self, n):
        """The last words of a node that ended by itself."""
        lines = self.cluster.log(n).read_text(errors="replace").splitlines()
        fatal = [line for line in lines[-5:] if " error fatal " in line]
        self.assertTrue(fatal, f"node {n} ended without a word: {lines[-5:]}")
        return fatal[-1]

    def everything(self, n, seq):
        """All that node n says of all orders."""
        said = []
        with self.cluster.connect(n, 60.0) as connection:
            for walker in self.walkers:
                for order, receipts in walker.steps.items():
                    if receipts:
                        said.append(connection.call("order.get", id=order, consistency="local",
                                                    min_seq=seq, timeout_ms=50000))
        return said

    def serves_the_same(self, n, other):
        """False if node n met the flip and ended. Wrong data fails the test."""
        seq = max(w.steps[order][-1]["seq"] for w in self.walkers for order in w.steps
                  if w.steps[order])
        try:
            said = self.everything(n, seq)
            self.assertEqual([(o["id"], o["version"] >= 1) for o in said],
                             [(o["id"], True) for o in said])
            for walker in self.walkers:
                walker.check(self.cluster, n)
            feed = self.cluster.feed(n)
        except Gone:
            quorder.eventually(lambda: self.cluster.ended(n), 30, f"the end of node {n}")
            return False
        self.assertEqual(said, self.everything(other, seq))
        self.assertEqual(feed, self.cluster.feed(other)[:len(feed)])
        quorder.check_feed(feed)
        return True

    def joins(self, n):
        """True once all nodes name one leader; False if node n met the flip before."""
        def settled():
            try:
                return self.cluster.ended(n) or self.cluster.leader(within=1.0)
            except AssertionError:
                return None
        quorder.eventually(settled, what=f"node {n} joins or ends")
        return not self.cluster.ended(n)

    def halt_walkers(self):
        for walker in self.walkers:
            walker.finish()

    def start_walkers(self):
        old = getattr(self, "walkers", None)
        self.walkers = [quorder.Walker(self.cluster, f"flip-{i}", 40, self.rng.random(), 20)
                        for i in range(4)]
        for i, walker in enumerate(self.walkers):
            if old:
                walker.steps, walker.acknowledged = old[i].steps, old[i].acknowledged
            walker.daemon = True
            walker.start()

    def one(self, outcomes):
        n = self.rng.choice(list(self.cluster.all()))
        others = self.cluster.others(n)
        self.cluster.kill_at_once(list(self.cluster.all()))
        place, flip = self.flip(n)
        for m in others:
            self.cluster.restart(m)
        started = self.cluster.run("restart", str(n), check=False).returncode == 0
        self.load(BETWEEN)  # The others go on.
        self.halt_walkers()
        runs = started and self.joins(n)
        if not runs:
            self.cluster.leader(others)
        if not started:
            outcome = "refused to start"
        elif runs and self.serves_the_same(n, others[0]):
            outcome = "harmless"
        else:
            outcome = "stopped later"
        why = "" if outcome == "harmless" else self.told_why(n)
        print(f"node {n}, {place}, {flip}: {outcome} {why[-200:]}", flush=True)
        outcomes[place][outcome] += 1
        flip.toggle()
        if outcome != "harmless":
            self.cluster.restart(n)
        self.start_walkers()

    def test_never_serves_wrong_data(self):
        outcomes = collections.defaultdict(collections.Counter)
        self.start_walkers()
        self.load(20 * BETWEEN)
        for _ in range(FLIPS):
            self.load(BETWEEN)
            self.one(outcomes)
        self.load(BETWEEN)
        self.halt_walkers()
        self.cluster.digests()
        for n in self.cluster.all():
            for walker in self.walkers:
                walker.check(self.cluster, n)
        for place, counts in sorted(outcomes.items()):
            shares = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            print(f"{place}: {shares}", flush=True)


if __name__ == "__main__":
    quorder.main()
