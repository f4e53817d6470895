#!/usr/bin/python3
"""
Goal: a request id has one effect, and every copy of the request gets the same receipt.
Method: the same request twice, at once, through different nodes, over a failover, over a restart of
all nodes, and long after the order moved on; then the order's history is read on every node.
"""

import threading

import quorder
from quorder import Gone, Refused, scale, toggle_event


class Once(quorder.Test):
    machines = (quorder.TOGGLE, quorder.PARCEL)

    def same(self, first, again):
        """`again` is `first`'s receipt, and says that it had been applied before."""
        self.assertEqual(dict(self.first(first), replayed=True), again)

    def one_effect(self, order, versions):
        """The history of `order`, equal on every node, with one event for each version."""
        told = [self.cluster.history(n, order) for n in self.cluster.all()]
        self.assertEqual(told[0], told[1])
        self.assertEqual(told[0], told[2])
        self.assertEqual([e["version"] for e in told[0]], list(range(1, versions + 1)))
        ids = [e["request_id"] for e in told[0] if e["request_id"] is not None]
        self.assertEqual(len(ids), len(set(ids)))

    def create(self, order, **more):
        client = self.cluster.client(self.rng)
        receipt = client.call("order.create", id=order, machine="toggle",
                              request_id=f"{order}/1", **more)
        client.close()
        return receipt

    def step(self, order, version, n=None):
        """Makes `version`, through node n or any."""
        params = {"id": order, "event": toggle_event(version), "request_id": f"{order}/{version}",
                  "expect_version": version - 1}
        addresses = self.cluster.addresses() if n is None else [self.cluster.address(n)]
        client = quorder.Client(addresses, self.rng)
        receipt = client.call("order.transition", **params)
        client.close()
        return receipt

    def test_a_second_time(self):
        first = self.create("twice")
        self.same(first, self.create("twice"))
        moved = self.step("twice", 2)
        self.same(moved, self.step("twice", 2))
        self.same(first, self.create("twice"))
        self.one_effect("twice", 2)

    def test_through_every_node(self):
        first = self.create("nodes")
        moved = self.step("nodes", 2, 1)
        for n in self.cluster.all():
            again = self.cluster.at(n).call("order.create", id="nodes", machine="toggle",
                                            request_id="nodes/1")
            self.same(first, again)
            self.same(moved, self.step("nodes", 2, n))
        self.one_effect("nodes", 2)

    def test_at_once_through_different_nodes(self):
        connections = [self.cluster.connect(n) for n in self.cluster.all() for _ in range(3)]
        rounds = scale(20, 200, 1000)
        self.create("at-once")
        for version in range(2, rounds + 2):
            self.rng.shuffle(connections)
            params = {"id": "at-once", "event": toggle_event(version),
                      "request_id": f"at-once/{version}"}
            sent = [(c, c.send("order.transition", params)) for c in connections]
            receipts = [quorder.settled(c, msgid, "order.transition", params)
                        for c, msgid in sent]
            receipts.sort(key=lambda receipt: receipt["replayed"])
            self.first(receipts[0])
            for receipt in receipts[1:]:
                self.assertEqual(dict(receipts[0], replayed=True), receipt)
        self.one_effect("at-once", rounds + 1)
        for connection in connections:
            connection.close()

    def test_twice_in_one_piece_on_one_connection(self):
        names = iter(range(1 << 30))

        def receipts():
            request = ("order.create", {"id": f"piece-{next(names)}", "machine": "toggle",
                                        "request_id": "p"})
            with self.cluster.connect(self.cluster.leader()) as connection:
                ids = connection.send_many([request] * 5)
                try:
                    return [connection.wait(msgid) for msgid in ids]
                except Refused as refused:  # An election came between.
                    self.assertIn(refused.number, quorder.UNSETTLED)
                    return None

        told = quorder.eventually(receipts, what="five receipts")
        self.assertEqual([r["replayed"] for r in told], [False] + [True] * 4)
        self.one_effect(told[0]["id"], 1)

    def test_after_the_order_moved_on(self):
        first = self.create("moved", attributes={"note": "first"})
        second = self.step("moved", 2)
        versions = scale(80, 200, 1000)  # More than an order's record remembers by itself.
        for version in range(3, versions + 1):
            self.step("moved", version)
        again = self.create("moved", attributes={"note": "first"})
        self.same(first, again)
        self.same(second, self.step("moved", 2))
        self.one_effect("moved", versions)

    def test_other_content_is_refused(self):
        first = self.create("reused")
        moved = self.step("reused", 2)
        call = self.cluster.at(1).call
        common = {"id": "reused", "event": "go", "request_id": "reused/2"}
        for other in ({"actor": "somebody"}, {"reason": "another"}, {"expect_state": "A"},
                      {"expect_version": 7}, {"attributes": {"note": "x"}}, {"event": "back"},
                      {"event": "unknown"}):
            params = dict({"expect_version": 1}, **dict(common, **other))
            details = self.refused(206, call, "order.transition", **params)
            self.assertEqual(details["seq"], moved["seq"])
        # What is no content may differ.
        again = call("order.transition", expect_version=1, trace="t", timeout_ms=900, **common)
        self.same(moved, again)
        details = self.refused(206, call, "order.create", id="reused", machine="toggle",
                               request_id="reused/1", actor="somebody")
        self.assertEqual(details["seq"], first["seq"])
        self.one_effect("reused", 2)

    def test_a_refused_id_may_succeed_later(self):
        self.create("later")
        call = self.cluster.at(1).call
        self.refused(202, call, "order.transition", id="later", event="back", request_id="r")
        self.step("later", 2)
        self.first(call("order.transition", id="later", event="back", request_id="r"))
        self.one_effect("later", 3)

    def test_an_id_belongs_to_its_order(self):
        call = self.cluster.at(1).call
        for order in ("own-1", "own-2"):
            self.first(call("order.create", id=order, machine="toggle", request_id="shared"))

    def test_batches(self):
        call = self.cluster.at(2).call
        operations = [{"op": "create", "id": f"batch-{i}", "machine": "toggle"} for i in range(5)]
        first = call("order.batch", atomic=True, operations=operations, request_id="whole")
        again = call("order.batch", atomic=True, operations=operations, request_id="whole")
        for one, two in zip(first["results"], again["results"]):
            self.same(one["receipt"], two["receipt"])
        self.assertEqual(len({r["receipt"]["at"] for r in first["results"]}), 1)
        self.refused(206, call, "order.batch", atomic=True, operations=operations[:4],
                     request_id="whole")
        details = self.refused(206, call, "order.batch", atomic=True, request_id="whole",
                               operations=operations + [
                                   {"op": "create", "id": "batch-9", "machine": "toggle"}])
        self.assertEqual(details["index"], 5)
        # Alone or in a batch that is not atomic: the same command.
        alone = call("order.create", id="alone", machine="toggle", request_id="a")
        inside = call("order.batch", atomic=False, operations=[
            {"op": "create", "id": "alone", "machine": "toggle", "request_id": "a"},
            {"op": "transition", "id": "alone", "event": "go", "request_id": "b"},
            {"op": "transition", "id": "alone", "event": "go", "request_id": "b"},
        ])["results"]
        self.same(alone, inside[0]["receipt"])
        self.same(inside[1]["receipt"], inside[2]["receipt"])
        outside = call("order.transition", id="alone", event="go", request_id="b")
        self.same(inside[1]["receipt"], outside)
        self.one_effect("alone", 2)

    def test_over_a_failover(self):
        for attempt in range(scale(1, 3, 10)):
            order = f"failover-{attempt}"
            first = self.create(order)
            moved = self.step(order, 2)
            leader = self.cluster.leader()
            self.cluster.kill(leader)
            self.cluster.leader(self.cluster.others(leader))
            for n in self.cluster.others(leader):
                self.same(moved, self.step(order, 2, n))
            self.cluster.restart(leader)
            self.same(moved, self.step(order, 2))
            self.same(first, self.create(order))
            self.cluster.leader()
            self.one_effect(order, 2)

    def test_of_an_old_version_over_a_failover_and_a_restart(self):
        versions = scale(100, 700, 3000)  # More than a page of fingerprints.
        receipts = {1: self.create("ages")}
        client = self.cluster.client(self.rng)
        for version in range(2, versions + 1):
            receipts[version] = client.call(
                "order.transition", id="ages", event=toggle_event(version),
                request_id=f"ages/{version}", expect_version=version - 1)
        client.close()
        edges = [v for end in range(0, versions, 32) for v in (end, end + 1) if v >= 2]

        def again():
            self.same(receipts[1], self.create("ages"))
            for version in self.rng.sample(edges, min(20, len(edges))):
                self.same(receipts[version], self.step("ages", version))

        again()
        leader = self.cluster.leader()
        self.cluster.kill(leader)
        self.cluster.leader(self.cluster.others(leader))
        again()
        self.cluster.restart(leader)
        self.cluster.leader()
        again()
        self.cluster.kill_at_once(self.cluster.all())
        self.cluster.start()
        again()
        self.cluster.stop()
        self.cluster.start()
        again()
        self.one_effect("ages", versions)

    def test_sent_while_the_leader_dies(self):
        """Copies are under way when the leader is killed; the next ones go to the others."""
        outcomes = {"answered": 0, "unanswered": 0}
        for attempt in range(scale(2, 5, 30)):
            orders = [f"dying-{attempt}-{i}" for i in range(20)]
            for order in orders:
                self.create(order)
            leader = self.cluster.leader()
            connection = self.cluster.connect(leader)
            ids = connection.send_many([
                ("order.transition", {"id": order, "event": "go", "expect_version": 1,
                                      "request_id": f"{order}/2"}) for order in orders])
            quorder.pause(self.rng.random() * 0.003)
            self.cluster.kill_at_once([leader])
            known = {}
            for order, msgid in zip(orders, ids):
                try:
                    known[order] = connection.wait(msgid, 2.0)
                    outcomes["answered"] += 1
                except (Gone, Refused):
                    outcomes["unanswered"] += 1
            for order in orders:
                receipt = self.step(order, 2)
                if order in known:
                    self.same(known[order], receipt)
                self.assertEqual(receipt["version"], 2)
            self.cluster.restart(leader)
            self.cluster.leader()
            for order in orders:
                self.one_effect(order, 2)
        print(outcomes, flush=True)

    def test_over_a_restart_of_all(self):
        receipts = {}
        for i in range(20):
            receipts[f"restart-{i}"] = (self.create(f"restart-{i}"), self.step(f"restart-{i}", 2))
        self.cluster.stop()
        self.cluster.start()
        for order, (first, moved) in receipts.items():
            self.same(first, self.create(order))
            self.same(moved, self.step(order, 2))
        self.cluster.kill_at_once(self.cluster.all())
        self.cluster.start()
        for order, (first, moved) in receipts.items():
            self.same(moved, self.step(order, 2))
            self.same(first, self.create(order))
            self.one_effect(order, 2)

    def test_many_clients_with_few_ids(self):
        """Threads draw from the same few requests; whoever comes first, one effect each."""
        self.create("few")
        rounds = scale(20, 60, 300)
        receipts = [[] for _ in range(rounds)]
        faults = []

        def draw(index):
            client = self.cluster.client()
            try:
                for version in range(2, rounds + 2):
                    receipts[version - 2].append(client.call(
                        "order.transition", id="few", event=toggle_event(version),
                        request_id=f"few/{version}"))
            except Exception as fault:  # pylint: disable=broad-except
                faults.append((index, fault))
            client.close()

        threads = [threading.Thread(target=draw, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(faults, [])
        for told in receipts:
            self.assertEqual(len({(r["seq"], r["version"], r["at"]) for r in told}), 1)
            told.sort(key=lambda receipt: receipt["replayed"])
            self.first(told[0])
            self.assertTrue(all(r["replayed"] for r in told[1:]), told)
        self.one_effect("few", rounds + 1)


if __name__ == "__main__":
    quorder.main()
