#!/usr/bin/python3
"""
Goal: a linearizable read is never stale and reads never go back; a local read with `min_seq` shows
at least that.
Method: one writer an order, several readers through all nodes, while leaders are killed and
paused; each read is checked against what had been acknowledged before it was sent, what had been
sent before it was answered, and every read that had ended before it began. Two tests halt a node
with the read already in its socket, so that it answers from what it knew before, if it does so.
"""

import os
import signal
import threading
import time

import quorder
from quorder import Gone, Refused, scale, toggle_event


class Register:
    """What is known of one order with a single writer: versions and times of this process."""

    def __init__(self, order):
        self.order = order
        self.acknowledged = 1
        self.sent = 1
        self.seen = 1  # The newest version that an ended read has shown.
        self.seq = 0
        self.reads = 0
        self.newer = 0  # Reads that showed more than was acknowledged when they were sent.
        self.lock = threading.Lock()

    def floor(self):
        with self.lock:
            return max(self.acknowledged, self.seen)

    def check(self, floor, version):
        with self.lock:
            assert floor <= version, f"stale: {self.order} read {version}, {floor} was known before"
            assert version <= self.sent, f"{self.order} read {version}, {self.sent} was sent"
            self.newer += version > floor
            self.seen = max(self.seen, version)
            self.reads += 1


class Worker(threading.Thread):
    def __init__(self, cluster, registers, rng_seed):
        super().__init__(daemon=True)
        self.registers = registers
        self.client = cluster.client(quorder.random.Random(rng_seed))
        self.rng = self.client.rng
        self.ending = threading.Event()
        self.fault = None

    def run(self):
        try:
            while not self.ending.is_set():
                self.work(self.rng.choice(self.registers))
        except BaseException as fault:  # pylint: disable=broad-except
            self.fault = fault
        self.client.close()

    def finish(self):
        self.ending.set()
        self.join(120)
        assert not self.is_alive(), "a worker does not end"
        if self.fault:
            raise self.fault


class Writer(Worker):
    def work(self, register):
        version = register.acknowledged + 1
        with register.lock:
            register.sent = version
        receipt = self.client.call("order.transition", id=register.order,
                                   event=toggle_event(version), expect_version=version - 1,
                                   request_id=f"{register.order}/{version}")
        assert receipt["version"] == version, receipt
        with register.lock:
            register.acknowledged = version
            register.seq = receipt["seq"]


class LinearizableReader(Worker):
    def work(self, register):
        if self.rng.random() < 0.1:
            self.client.close()  # Another node.
        floor = register.floor()
        try:
            read = self.client.connect().call("order.get", id=register.order, timeout_ms=2000)
        except (Gone, Refused) as error:
            assert isinstance(error, Gone) or error.number in (300, 301, 303), error
            self.client.close()
            return
        register.check(floor, read["version"])


class LocalReader(Worker):
    """Local reads with min_seq: at least what had been acknowledged when they were sent."""

    def work(self, register):
        if self.rng.random() < 0.1:
            self.client.close()
        with register.lock:
            acknowledged, seq = register.acknowledged, register.seq
        try:
            read = self.client.connect().call("order.get", id=register.order, min_seq=seq,
                                              consistency="local", timeout_ms=2000)
        except (Gone, Refused) as error:
            assert isinstance(error, Gone) or error.number in (301, 303), error
            self.client.close()
            return
        assert acknowledged <= read["version"] <= register.sent, (acknowledged, read)
        assert read["applied_seq"] >= seq


class Reads(quorder.Test):
    machines = (quorder.TOGGLE,)

    def create(self, order):
        client = self.cluster.client(self.rng)
        receipt = client.call("order.create", id=order, machine="toggle", request_id=f"{order}/1")
        client.close()
        return receipt

    def test_never_stale_and_never_back(self):
        registers = [Register(f"register-{i}") for i in range(3)]
        for register in registers:
            register.seq = self.create(register.order)["seq"]
        workers = [Writer(self.cluster, [r], i) for i, r in enumerate(registers)]
        workers += [LinearizableReader(self.cluster, registers, 10 + i) for i in range(4)]
        workers += [LocalReader(self.cluster, registers, 20 + i) for i in range(2)]
        for worker in workers:
            worker.start()
        for fault in range(scale(2, 6, 30)):
            before = sum(r.reads for r in registers)
            quorder.eventually(lambda: sum(r.reads for r in registers) > before + 200
                               or any(w.fault for w in workers), 120, "200 reads")
            leader = self.cluster.leader()
            if fault % 2:
                self.cluster.kill(leader)
                self.cluster.leader(self.cluster.others(leader))
                self.cluster.restart(leader)
            else:
                self.cluster.run("pause", str(leader))
                self.cluster.leader(self.cluster.others(leader))
                self.cluster.run("resume", str(leader))
            self.cluster.leader()
        for worker in workers:
            worker.finish()
        reads = sum(r.reads for r in registers)
        print(f"{reads} linearizable reads, {sum(r.newer for r in registers)} of them of a write "
              "under way", flush=True)
        self.assertGreater(sum(r.newer for r in registers), 0, "reads and writes never met")

    def halted_with_a_read(self, order, n, write):
        """Halts node n, sends it a linearizable read, writes by `write`, lets it go on."""
        with self.cluster.connect(n, 20.0) as connection:
            connection.call("ping")
            os.kill(self.cluster.pid(n), signal.SIGSTOP)
            try:
                version = write()
                msgids = connection.send_many([("order.get", {"id": order})] * 5)
            finally:
                os.kill(self.cluster.pid(n), signal.SIGCONT)
            for msgid in msgids:
                try:
                    read = connection.wait(msgid)
                    self.assertEqual(read["version"], version, f"node {n} answers what is old")
                except Refused as refused:  # `not_found` of an order that is there is old, too.
                    self.assertIn(refused.number, (300, 301, 303),
                                  f"node {n} answers what is old")

    def test_a_deposed_leader_does_not_answer_what_is_old(self):
        """It still takes itself for the leader when it reads the request."""
        self.create("deposed")
        version = 1
        for _ in range(scale(1, 4, 20)):
            leader = self.cluster.leader()
            others = self.cluster.others(leader)

            def write():
                nonlocal version
                self.cluster.leader(others)
                version += 1
                client = quorder.Client([self.cluster.address(n) for n in others])
                client.call("order.transition", id="deposed", event=toggle_event(version),
                            expect_version=version - 1, request_id=f"deposed/{version}")
                client.close()
                return version

            self.halted_with_a_read("deposed", leader, write)
            self.cluster.leader()

    def test_a_follower_does_not_answer_what_is_old(self):
        self.create("behind")
        version = 1
        for _ in range(scale(3, 20, 100)):
            leader = self.cluster.leader()
            follower = self.rng.choice(self.cluster.others(leader))

            def write():
                nonlocal version
                client = quorder.Client([self.cluster.address(leader)])
                for _ in range(20):
                    version += 1
                    client.call("order.transition", id="behind", event=toggle_event(version),
                                expect_version=version - 1, request_id=f"behind/{version}")
                client.close()
                return version

            self.halted_with_a_read("behind", follower, write)
            self.cluster.leader()

    def test_read_your_writes_from_a_follower(self):
        self.create("yours")
        leader = self.cluster.leader()
        with self.cluster.at(leader) as writes:
            readers = [self.cluster.at(n) for n in self.cluster.others(leader)]
            for version in range(2, scale(100, 500, 2000)):
                receipt = writes.call("order.transition", id="yours", event=toggle_event(version))
                reader = readers[version % 2]
                read = reader.call("order.get", id="yours", consistency="local",
                                   min_seq=receipt["seq"])
                self.assertEqual((read["version"], read["seq"]), (version, receipt["seq"]))
                if version % 10 == 0:
                    read = reader.call("order.get", id="yours")
                    self.assertEqual(read["version"], version)
            for reader in readers:
                reader.close()

    def test_as_of_shows_the_order_as_it_was(self):
        times = [self.create("as-of")["at"]]
        call = self.cluster.at(1).call
        for version in range(2, 40):
            quorder.pause(0.002)
            times.append(call("order.transition", id="as-of", event=toggle_event(version))["at"])
        for n in self.cluster.all():
            with self.cluster.at(n) as client:
                for version, at in enumerate(times, 1):
                    read = client.call("order.get", id="as-of", as_of=at)
                    self.assertEqual(read["version"], version)
                    self.assertEqual(read["state"], "A" if version % 2 else "B")
                    self.assertEqual(read["allowed"], ["go" if version % 2 else "back"])
                self.refused(200, client.call, "order.get", id="as-of", as_of=times[0] - 1)
                details = self.refused(100, client.call, "order.get", id="as-of",
                                       as_of=int(time.time() * 1e6) + 10**12)
                self.assertEqual(details["field"], "as_of")

    def test_history_from_any_version(self):
        call = self.cluster.at(2).call
        self.create("from")
        for version in range(2, 6):
            call("order.transition", id="from", event=toggle_event(version))
        table = [
            ({}, [1, 2, 3, 4, 5], False),
            ({"from_version": 0}, [1, 2, 3, 4, 5], False),
            ({"from_version": 3, "limit": 2}, [3, 4], True),
            ({"from_version": 4, "limit": 2}, [4, 5], False),
            ({"from_version": 6}, [], False),
            ({"from_version": 2**64 - 1}, [], False),
            ({"descending": True}, [5, 4, 3, 2, 1], False),
            ({"descending": True, "from_version": 2**64 - 1, "limit": 2}, [5, 4], True),
            ({"descending": True, "from_version": 3}, [3, 2, 1], False),
            ({"descending": True, "from_version": 1}, [1], False),
            ({"descending": True, "from_version": 0}, [], False),
        ]
        for n in self.cluster.all():
            with self.cluster.at(n) as client:
                for params, versions, more in table:
                    with self.subTest(node=n, params=params):
                        page = client.call("order.history", id="from", **params)
                        self.assertEqual([e["version"] for e in page["events"]], versions)
                        self.assertIs(page["more"], more)
                self.refused(200, client.call, "order.history", id="nobody", descending=True,
                             from_version=0)

    def test_lists_and_pages(self):
        call = self.cluster.at(2).call
        for i in range(25):
            call("order.create", id=f"list-{i:02}", machine="toggle")
        for i in range(0, 25, 2):
            call("order.transition", id=f"list-{i:02}", event="go")
        for n in self.cluster.all():
            with self.cluster.at(n) as client:
                found, cursor = [], None
                while True:
                    page = client.call("order.list", machine="toggle", state="B", limit=7,
                                       **({"cursor": cursor} if cursor else {}))
                    self.assertLessEqual(len(page["orders"]), 7)
                    found += [o["id"] for o in page["orders"] if o["id"].startswith("list-")]
                    cursor = page["cursor"]
                    if cursor is None:
                        break
                self.assertEqual(found, [f"list-{i:02}" for i in range(0, 25, 2)])
        # A page that is full and the last says that it is the last.
        total = len(call("order.list", machine="toggle", state="B", limit=1000)["orders"])
        for limit in (1, 6, total - 1, total, total + 1):
            sizes, cursor = [], None
            while not sizes or cursor is not None:
                page = call("order.list", machine="toggle", state="B", limit=limit, cursor=cursor)
                sizes.append(len(page["orders"]))
                cursor = page["cursor"]
            rest = [total % limit] * (total % limit > 0)
            self.assertEqual(sizes, [limit] * (total // limit) + rest)
        many = call("order.get_many", ids=["list-00", "absent", "list-01"])
        self.assertEqual([o and o["state"] for o in many["orders"]], ["B", None, "A"])


if __name__ == "__main__":
    quorder.main()
