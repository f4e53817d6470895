#!/usr/bin/python3
"""
Goal: every error that a client can cause is answered with its number, its keys and the right
`applied`; where several things are wrong, the first in the protocol's order answers.
Method: tables of requests with what they must be answered, through a follower and the leader.
Not here: 102, 103, 207, 208 (their features come later), 500 and a certain 300 (peers_test.py).
"""

import math

import msgpack

import quorder
from quorder import Gone, Refused, scale

GOOD = {"owner": "o"}


class Errors(quorder.Test):
    machines = (quorder.TOGGLE, quorder.PARCEL)
    flags = quorder.CALM

    def setUp(self):
        leader = self.cluster.leader()
        self.nodes_asked = (leader, self.cluster.others(leader)[0])
        self.connection = self.cluster.connect(self.nodes_asked[0])
        self.call = self.connection.call
        self.addCleanup(self.connection.close)

    def parcel(self, order, **attributes):
        return self.call("order.create", id=order, machine="parcel",
                         attributes=dict(GOOD, code=order, **attributes))

    def test_bad_request_names_the_field(self):
        table = [
            ("order.create", {"machine": "toggle"}, "id", None),
            ("order.create", {"id": "x"}, "machine", None),
            ("order.create", {"id": "", "machine": "toggle"}, "id", None),
            ("order.create", {"id": "x" * 129, "machine": "toggle"}, "id", 128),
            ("order.create", {"id": 7, "machine": "toggle"}, "id", None),
            ("order.create", {"id": "a\nb", "machine": "toggle"}, "id", None),
            ("order.create", {"id": "x", "machine": "to ggle"}, "machine", None),
            ("order.create", {"id": "x", "machine": "m" * 65}, "machine", 64),
            ("order.create", {"id": "x", "machine": "toggle", "typo": 1}, "typo", None),
            ("order.create", {"id": "x", "machine": "toggle", "actor": "timer"}, "actor", None),
            ("order.create", {"id": "x", "machine": "toggle", "actor": "a" * 257}, "actor", 256),
            ("order.create", {"id": "x", "machine": "toggle", "reason": "a" * 257}, "reason", 256),
            ("order.create", {"id": "x", "machine": "toggle", "trace": "a" * 257}, "trace", 256),
            ("order.create", {"id": "x", "machine": "toggle", "request_id": "r" * 65},
             "request_id", 64),
            ("order.create", {"id": "x", "machine": "toggle", "request_id": ""},
             "request_id", None),
            ("order.create", {"id": "x", "machine": "toggle", "timeout_ms": 0}, "timeout_ms", None),
            ("order.create", {"id": "x", "machine": "toggle", "timeout_ms": 60001},
             "timeout_ms", 60000),
            ("order.create", {"id": "x", "machine": "toggle", "attributes": [1]},
             "attributes", None),
            ("order.create", {"id": "x", "machine": "toggle", "attributes": {"note": math.nan}},
             "attributes.note", None),
            ("order.create", {"id": "x", "machine": "toggle", "attributes": {"note": math.inf}},
             "attributes.note", None),
            ("order.transition", {"id": "x"}, "event", None),
            ("order.transition", {"id": "x", "event": "go", "expect_version": -1},
             "expect_version", None),
            ("order.transition", {"id": "x", "event": "go", "expect_version": 1.5},
             "expect_version", None),
            ("order.get", {"id": "x", "consistency": "strong"}, "consistency", None),
            ("order.get_many", {"ids": []}, "ids", None),
            ("order.get_many", {"ids": ["x"] * 257}, "ids", 256),
            ("order.get_many", {"ids": ["x", 1]}, "ids[1]", None),
            ("order.history", {"id": "x", "limit": 0}, "limit", None),
            ("order.history", {"id": "x", "limit": 1001}, "limit", 1000),
            ("order.list", {"state": "A"}, "machine", None),
            ("order.list", {"machine": "toggle", "cursor": "no such"}, "cursor", None),
            ("order.list", {"machine": "toggle", "cursor": "e0x1"}, "cursor", None),
            ("order.list", {"machine": "toggle", "cursor": "e" + "f" * 19}, "cursor", None),
            ("order.list", {"machine": "absent", "cursor": "no such"}, "cursor", None),
            ("order.list", {"machine": "parcel", "attribute": "code", "value": "x",
                            "cursor": "no such"}, "cursor", None),
            ("order.batch", {"atomic": True, "operations": []}, "operations", None),
            ("order.batch", {"operations": [{"op": "create", "id": "x", "machine": "toggle"}]},
             "atomic", None),
            ("order.batch", {"atomic": False, "request_id": "r", "operations": [
                {"op": "create", "id": "x", "machine": "toggle"}]}, "request_id", None),
            ("order.batch", {"atomic": False, "operations": [
                {"op": "create", "id": "x", "machine": "toggle"},
                {"op": "create", "id": "x" * 129, "machine": "toggle"}]}, "operations[1].id", 128),
            ("order.batch", {"atomic": False, "operations": [{"op": "erase", "id": "x"}]},
             "operations[0].op", None),
            ("order.batch", {"atomic": True, "request_id": "r", "operations": [
                {"op": "create", "id": "x", "machine": "toggle", "request_id": "s"}]},
             "operations[0].request_id", None),
            ("feed.read", {"wait_ms": 60001}, "wait_ms", 60000),
            ("feed.read", {"shards": "all"}, "shards", None),
            ("feed.subscribe", {"credit": 0}, "credit", None),
            ("feed.subscribe", {}, "credit", None),
            ("machine.put", {}, "source", None),
            ("machine.put", {"source": "x" * (256 * 1024 + 1)}, "source", 256 * 1024),
        ]
        for n in self.nodes_asked:
            with self.cluster.connect(n) as connection:
                for method, params, field, limit in table:
                    with self.subTest(method=method, field=field, node=n):
                        details = self.refused(100, connection.call, method, **params)
                        self.assertEqual(details["field"], field)
                        self.assertIs(details["applied"], False)
                        if limit is not None:
                            self.assertEqual(details["limit"], limit)

    def test_wrong_inside_keeps_the_connection(self):
        inside = {
            "duplicate key": b"\x82\xa2id\xa1a\xa2id\xa1b",
            "key that is no text": b"\x81\x01\xa1a",
            "extension type": b"\x81\xa2id\xd4\x05\x00",
            "bad UTF-8": b"\x81\xa2id\xa2\xc3\x28",
            "params no map": b"\x01",
        }
        for name, params in inside.items():
            with self.subTest(name):
                self.connection.send_bytes(b"\x94\x00\xcd\x03\xe8\xa9order.get\x91" + params)
                details = self.refused(100, self.connection.wait, 1000)
                self.assertIn("field", details)
        self.assertIn("clock", self.call("ping"))

    def test_no_message_closes_the_connection(self):
        ping = msgpack.packb([0, 5, "ping", []])
        table = {
            "no MessagePack": b"\xc1",
            "no array": b"\x05",
            "arity": msgpack.packb([0, 7, "ping"]),
            "kind": msgpack.packb([9, 7, "ping", []]),
            "msgid": msgpack.packb([0, -1, "ping", []]),
            "msgid too large": msgpack.packb([0, 2**32, "ping", []]),
            "method no text": msgpack.packb([0, 7, 7, []]),
            "a response": msgpack.packb([1, 7, None, None]),
            "two params": msgpack.packb([0, 7, "ping", [{}, {}]])
        }
        for name, data in table.items():
            with self.subTest(name), self.cluster.connect(1) as connection:
                connection.send_bytes(ping + data)
                answers, closed = connection.read_to_end()
                self.assertTrue(closed or name == "two params", answers)
                numbers = [a[2][0] for a in answers if a[2] is not None]
                self.assertEqual(numbers, [100], answers)
                self.assertEqual(sum(a[2] is None for a in answers), 1, "ping is answered first")

    def test_a_notification_that_is_not_ours_closes(self):
        with self.cluster.connect(1) as connection:
            connection.notify("order.create", {"id": "notified", "machine": "toggle"})
            _, closed = connection.read_to_end()
            self.assertTrue(closed)
        self.refused(200, self.call, "order.get", id="notified")

    def test_msgid_in_flight(self):
        with self.cluster.connect(1) as connection:
            read = connection.encode(9, "feed.read", {"wait_ms": 3000})
            connection.send_bytes(read + read)
            self.refused(100, connection.wait, 9)

    def test_unknown_method(self):
        for n in self.nodes_asked:
            with self.cluster.connect(n) as connection:
                details = self.refused(101, connection.call, "order.erase", id="x")
                self.assertEqual(details["method"], "order.erase")
                connection.call("ping")

    def test_not_found(self):
        self.parcel("found")
        table = [
            ("order", "order.get", {"id": "absent"}),
            ("order", "order.get", {"id": "absent", "consistency": "local"}),
            ("order", "order.history", {"id": "absent"}),
            ("order", "order.transition", {"id": "absent", "event": "go"}),
            ("order", "order.get", {"id": "found", "as_of": 1}),
            ("machine", "order.create", {"id": "x", "machine": "absent"}),
            ("machine", "machine.get", {"machine": "absent"}),
            ("machine", "order.list", {"machine": "absent"}),
            ("version", "order.create", {"id": "x", "machine": "toggle", "machine_version": 9}),
            ("version", "machine.get", {"machine": "toggle", "version": 9}),
            ("subscription", "feed.credit", {"subscription": 77, "credit": 1}),
            ("subscription", "feed.unsubscribe", {"subscription": 77}),
        ]
        for n in self.nodes_asked:
            with self.cluster.connect(n) as connection:
                for what, method, params in table:
                    with self.subTest(method=method, what=what, node=n):
                        details = self.refused(200, connection.call, method, **params)
                        self.assertEqual(details["what"], what)

    def test_refusals_of_the_machine(self):
        first = self.parcel("one")
        details = self.refused(201, self.call, "order.create", id="one", machine="toggle")
        self.assertEqual((details["version"], details["state"]), (1, "NEW"))
        details = self.refused(202, self.call, "order.transition", id="one", event="leave")
        self.assertEqual((details["from"], details["event"]), ("NEW", "leave"))
        self.assertEqual(details["allowed"], ["lose", "mark", "ready"])
        details = self.refused(202, self.call, "order.transition", id="one", event="unknown")
        self.assertEqual(details["allowed"], ["lose", "mark", "ready"])
        for wrong in ({"expect_version": 5}, {"expect_state": "READY"}, {"expect_version": 0},
                      {"expect_version": 2**64 - 1}):
            details = self.refused(203, self.call, "order.transition", id="one", event="mark",
                                   **wrong)
            self.assertEqual((details["version"], details["state"]), (1, "NEW"))
        self.assertEqual(self.call("order.get", id="one")["seq"], first["seq"])

    def test_invalid_attribute(self):
        self.parcel("a")
        self.call("order.transition", id="a", event="ready", attributes={"size": 1})
        self.parcel("b")
        create = {"machine": "parcel", "id": "new"}
        table = [
            ("order.create", dict(create, attributes={"owner": "o"}), "code", "missing"),
            ("order.create", dict(create), "code", "missing"),
            ("order.create", dict(create, attributes=dict(GOOD, code="n", size="1")), "size",
             "type"),
            ("order.create", dict(create, attributes=dict(GOOD, code="n", size=1.0)), "size",
             "type"),
            ("order.create", dict(create, attributes=dict(GOOD, code="n", kind="HUGE")), "kind",
             "enum"),
            ("order.create", dict(create, attributes=dict(GOOD, code="n", color="red")), "color",
             "undeclared"),
            ("order.transition", {"id": "b", "event": "ready"}, "size", "missing"),
            ("order.transition", {"id": "b", "event": "ready", "attributes": {"size": None}},
             "size", "missing"),
            ("order.transition", {"id": "b", "event": "lose", "attributes": {"note": "n"}}, "note",
             "not_accepted"),
            ("order.transition", {"id": "b", "event": "mark", "attributes": {"owner": "o"}},
             "owner", "immutable"),
            ("order.transition", {"id": "a", "event": "mark", "attributes": {"size": None}},
             "size", "has"),
        ]
        for n in self.nodes_asked:
            with self.cluster.connect(n) as connection:
                for method, params, attribute, why in table:
                    with self.subTest(attribute=attribute, why=why, node=n):
                        details = self.refused(204, connection.call, method, **params)
                        self.assertEqual((details["attribute"], details["why"]), (attribute, why))

    def test_not_unique(self):
        self.parcel("holder")
        details = self.refused(205, self.call, "order.create", id="other", machine="parcel",
                               attributes=dict(GOOD, code="holder"))
        self.assertEqual((details["attribute"], details["held_by"]), ("code", "holder"))
        # A final state gives the value back.
        self.call("order.transition", id="holder", event="lose")
        self.call("order.create", id="other", machine="parcel",
                  attributes=dict(GOOD, code="holder"))
        found = self.call("order.list", machine="parcel", attribute="code", value="holder")
        self.assertEqual([o["id"] for o in found["orders"]], ["other"])

    def test_unique_within_one_entry(self):
        """Two orders with one value, decided in the same batch: the store knows neither yet."""
        for atomic in (False, True):
            code = f"same-{atomic}"
            operations = [{"op": "create", "id": f"{code}-{i}", "machine": "parcel",
                           "attributes": dict(GOOD, code=code)} for i in range(2)]
            if atomic:
                details = self.refused(205, self.call, "order.batch", atomic=True,
                                       operations=operations)
                self.assertEqual(details["index"], 1)
                self.refused(200, self.call, "order.get", id=f"{code}-0")
            else:
                results = self.call("order.batch", atomic=False, operations=operations)["results"]
                self.assertIn("receipt", results[0])
                self.assertEqual(results[1]["error"][0], 205)
        # And freed within a batch.
        self.parcel("free-1")
        results = self.call("order.batch", atomic=False, operations=[
            {"op": "transition", "id": "free-1", "event": "lose"},
            {"op": "create", "id": "free-2", "machine": "parcel",
             "attributes": dict(GOOD, code="free-1")}])["results"]
        self.assertEqual([list(r) for r in results], [["receipt"], ["receipt"]])

    def test_invalid_machine(self):
        details = self.refused(209, self.call, "machine.put", source="machine: x\nversion: 2\n")
        self.assertEqual(sorted(details), ["applied", "code", "column", "line", "why"])
        details = self.refused(209, self.call, "machine.put", source="")
        self.assertEqual((details["line"], details["column"]), (1, 1))
        details = self.refused(209, self.call, "machine.put",
                               source=quorder.TOGGLE.replace("note", "nota"))
        self.assertEqual(details["line"], 3)
        again = self.call("machine.put", source=quorder.TOGGLE + "# a comment\n")
        self.assertEqual((again["version"], again["changed"]), (1, False))

    def test_position_lost(self):
        details = self.refused(210, self.call, "feed.read", from_seq=1, epoch=2)
        self.assertEqual(details["epoch"], 1)
        self.assertIn("first_seq", details)
        self.assertIn("high_seq", details)
        self.refused(210, self.call, "feed.subscribe", from_seq=1, epoch=2, credit=1)
        self.assertEqual(self.call("feed.read", from_seq=1, epoch=1, limit=1)["epoch"], 1)

    def test_order_of_checks(self):
        """Each request is wrong in two ways; the earlier check answers."""
        made = self.call("order.create", id="checks", machine="parcel", request_id="made",
                         attributes=dict(GOOD, code="checks"))
        self.parcel("taken")
        transition = {"id": "checks", "event": "ready"}
        table = [
            # Shape before everything.
            (100, "order.transition", {"id": "absent", "event": "go", "typo": 1}),
            (100, "order.create", {"id": "checks", "machine": "absent", "typo": 1}),
            (101, "order.erase", {"typo": 1}),
            # The order exists, before its request id, machine and event.
            (200, "order.transition", {"id": "absent", "event": "unknown", "expect_version": 9}),
            (201, "order.create", {"id": "checks", "machine": "absent"}),
            (206, "order.create", {"id": "checks", "machine": "absent", "request_id": "made"}),
            # The request id, before the event, the version, the state and attributes.
            (206, "order.transition", dict(transition, event="unknown", request_id="made")),
            (206, "order.transition", dict(transition, expect_version=9, request_id="made")),
            (206, "order.transition", dict(transition, event="leave", request_id="made")),
            # The machine and event are known, before the version.
            (202, "order.transition", dict(transition, event="unknown", expect_version=9)),
            (200, "order.create", {"id": "new", "machine": "absent", "attributes": {"x": 1}}),
            # The version, before the state.
            (203, "order.transition", dict(transition, event="leave", expect_version=9)),
            (203, "order.transition", dict(transition, event="leave", expect_state="GONE")),
            # The state, before attributes.
            (202, "order.transition", dict(transition, event="leave", attributes={"x": 1})),
            # Attributes, before unique.
            (204, "order.create", {"id": "new", "machine": "parcel",
                                   "attributes": dict(GOOD, code="taken", kind="HUGE")}),
            (205, "order.create", {"id": "new", "machine": "parcel",
                                   "attributes": dict(GOOD, code="taken")}),
        ]
        for number, method, params in table:
            with self.subTest(number=number, params=params):
                self.refused(number, self.call, method, **params)
        after = self.call("order.get", id="checks")
        self.assertEqual((after["version"], after["seq"]), (1, made["seq"]), "refused, no effect")

    def test_timeout_of_a_read(self):
        for consistency in ("local", "linearizable"):
            self.refused(303, self.call, "order.get", id="checks", min_seq=2**40, timeout_ms=200,
                         consistency=consistency)


class Majority(quorder.Test):
    """What is answered when the majority is not there."""

    machines = (quorder.TOGGLE,)

    def test_short_time_outs_reach_the_leader(self):
        """A follower that has no connection to the leader yet makes one, however short they are."""
        follower = self.cluster.others(self.cluster.leader())[0]
        self.cluster.restart(follower)
        quorder.eventually(lambda: self.cluster.call(follower, "hello")["leader"],
                           what="a leader known")
        call = self.cluster.connect(follower).call
        names = iter(range(1 << 30))

        def created():
            name = f"short-{next(names)}"
            try:
                return call("order.create", id=name, machine="toggle", timeout_ms=100)
            except Refused as refused:
                self.assertIn(refused.number, quorder.TRY_AGAIN)
                return None

        quorder.eventually(created, 20, "a write with 100 ms")

    def test_unknown_outcome_and_timeout(self):
        with self.cluster.client(self.rng) as client:
            client.call("order.create", id="stuck", machine="toggle")
        self.cluster.caught_up()
        leader = self.cluster.leader()
        others = self.cluster.others(leader)
        connection = self.cluster.connect(leader)
        self.addCleanup(self.cluster.go_on, others)
        self.cluster.halt(others)  # Nothing between this and the requests: it soon gives up.
        write = connection.send("order.transition", {"id": "stuck", "event": "go",
                                                     "request_id": "w", "timeout_ms": 700})
        read = connection.send("order.get", {"id": "stuck", "timeout_ms": 700})
        details = self.refused(302, connection.wait, write)
        self.assertIsNone(details["applied"])
        try:
            connection.wait(read)
            self.fail("a linearizable read without a majority was answered")
        except Refused as refused:
            self.assertIn(refused.number, (301, 303))
            self.assertIs(refused.details["applied"], False)
        local = connection.call("order.get", id="stuck", consistency="local")
        self.assertEqual(local["version"], 1)
        self.cluster.go_on(others)
        client = self.cluster.client(self.rng)
        receipt = client.call("order.transition", id="stuck", event="go", request_id="w")
        self.assertEqual(receipt["version"], 2)
        client.close()

    def test_unavailable_without_a_leader(self):
        leader = self.cluster.leader()
        alone = self.cluster.others(leader)[0]
        call = self.cluster.connect(alone).call
        others = self.cluster.others(alone)
        self.cluster.kill_at_once(others)
        quorder.eventually(lambda: call("hello")["leader"] is None, what="no leader known")
        details = self.refused(301, call, "order.create", id="nobody", machine="toggle")
        self.assertIs(details["applied"], False)
        self.refused(301, call, "order.get", id="nobody")
        self.assertIn("clock", call("ping"))
        self.assertIsNone(call("cluster.status")["leader"])
        self.assertIn("events", call("feed.read", from_seq=1))
        for n in others:
            self.cluster.restart(n)
        self.cluster.leader()

    def test_not_leader_when_the_other_hop_is_used_up(self):
        """A follower forwards to a leader that is deposed while the request waits in its socket."""
        seen = set()
        for attempt in range(scale(3, 20, 20)):
            leader = self.cluster.leader()
            others = self.cluster.others(leader)
            connections = [self.cluster.connect(n) for n in others]
            self.cluster.halt([leader])
            sent = [(c, c.send("order.create", {"id": f"hop-{attempt}-{i}", "machine": "toggle",
                                                "timeout_ms": 9000}))
                    for i in range(50) for c in connections]
            self.cluster.leader(others)
            self.cluster.go_on([leader])
            for connection, msgid in sent:
                try:
                    connection.wait(msgid)
                except Refused as refused:
                    seen.add(refused.number)
                    self.assertIn(refused.number, (300, 301, 302, 303))
                except Gone:
                    self.fail("a follower closed the connection of a client")
            for connection in connections:
                connection.close()
            if 300 in seen:
                break
        print(f"refusals seen: {sorted(seen)}", flush=True)
        self.assertTrue(seen, "no request met the change of leader")


class Overload(quorder.Test):
    """A leader that leads on without a majority for as long as it takes to send it so much."""

    machines = (quorder.TOGGLE,)
    flags = ("--election-ms", "8000")

    def test_overloaded(self):
        """With no majority, proposals pile up to a bound: creations first, then every write."""
        leader = self.cluster.leader()
        others = self.cluster.others(leader)
        self.cluster.at(leader).call("order.create", id="full", machine="toggle")
        self.addCleanup(self.cluster.go_on, others)
        self.cluster.halt(others)
        note = "n" * 15000
        numbers = []
        before = self.cluster.rss(leader)
        connections = [self.cluster.connect(leader, 30.0) for _ in range(8)]
        sent = []
        for i in range(8 * 1000):
            connection = connections[i % 8]
            sent.append((connection, connection.send("order.create", {
                "id": f"full-{i}", "machine": "toggle", "attributes": {"note": note},
                "timeout_ms": 3000})))
        for connection, msgid in sent:
            try:
                connection.wait(msgid)
                numbers.append(0)
            except Refused as refused:
                numbers.append(refused.number)
                if refused.number == 400:
                    self.assertGreater(refused.details["retry_after_ms"], 0)
                    self.assertIs(refused.details["applied"], False)
        print({n: numbers.count(n) for n in set(numbers)}, flush=True)
        self.assertIn(400, numbers)
        self.assertLess(self.cluster.rss(leader) - before, 600 << 20)
        self.cluster.go_on(others)
        client = self.cluster.client(self.rng)
        client.call("order.transition", id="full", event="go", request_id="after")
        client.close()


if __name__ == "__main__":
    quorder.main()
