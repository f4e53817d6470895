#!/usr/bin/python3
"""
Goal: what was acknowledged is there after any SIGKILL, on every node, once.
Method: walkers move their own orders, each step with its own request id; at random moments one node
or all three are killed and started again; in the end every order is read on every node and compared
with the receipts. Any refusal on the way is a fault too (see Walker).
"""

import quorder
from quorder import scale

KILLS = scale(4, 30, 200)
BETWEEN = scale(200, 1000, 1000)  # Acknowledged writes from one kill to the next, at least.


class Crash(quorder.Test):
    machines = (quorder.TOGGLE,)
    kills = KILLS
    all_of = 4  # One kill of so many is of all nodes at once.

    def acknowledged(self):
        return sum(w.acknowledged for w in self.walkers)

    def load(self, count):
        """Until so many more writes are acknowledged."""
        begin = self.acknowledged()
        quorder.eventually(
            lambda: self.acknowledged() - begin >= count or any(w.fault for w in self.walkers),
            120, f"{count} acknowledged writes")

    def start_walkers(self):
        self.walkers = [quorder.Walker(self.cluster, f"crash-{i}", 60, self.rng.random(), 24)
                        for i in range(4)]
        for walker in self.walkers:
            walker.daemon = True
            walker.start()

    def kill_some(self, kill):
        if kill % self.all_of == self.all_of - 1:
            numbers = list(self.cluster.all())
        elif kill % 2:
            numbers = [self.cluster.leader()]
        else:
            numbers = [self.rng.choice(list(self.cluster.all()))]
        quorder.pause(self.rng.random() * 0.05)
        self.cluster.kill_at_once(numbers)
        self.rng.shuffle(numbers)
        if len(numbers) == 1 and self.rng.random() < 0.3:
            self.load(100)  # Two of three go on; the third comes back to something new.
        for n in numbers:
            self.cluster.restart(n)
        return numbers

    def finish(self):
        for walker in self.walkers:
            walker.finish()

    def check_all(self):
        index, value = self.cluster.digests()
        for n in self.cluster.all():
            for walker in self.walkers:
                walker.check(self.cluster, n)
        quorder.check_feed(self.cluster.feed(self.rng.choice(list(self.cluster.all()))))
        print(f"digest {value} at log index {index} on all nodes", flush=True)

    def test_nothing_acknowledged_is_lost(self):
        self.start_walkers()
        whole = 0
        for kill in range(self.kills):
            self.load(BETWEEN + self.rng.randrange(BETWEEN // 2))
            numbers = self.kill_some(kill)
            whole += len(numbers) > 1
            if any(w.fault for w in self.walkers):
                break
            if kill % 20 == 19:
                print(f"{kill + 1} kills, {self.acknowledged()} acknowledged", flush=True)
        self.load(BETWEEN)
        self.finish()
        self.check_all()
        print(f"{self.kills} kills, {whole} of them of all nodes; {self.acknowledged()} "
              "acknowledged writes, each there once on every node", flush=True)


if __name__ == "__main__":
    quorder.main()
