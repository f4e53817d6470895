#!/usr/bin/python3
"""
Goal: no bytes from outside end a node, hurt another connection, or make it grow.
Method: random bytes and mutations of one good request of every method, each string on a connection
of its own, which must end in typed answers or a close; half-open, half-sent and deaf connections;
every limit of the protocol met exactly and exceeded by one. A bystander works all the while through
the same node and must notice nothing.
"""

import collections
import selectors
import socket
import string
import struct
import threading
import time

import msgpack

import quorder
from quorder import Gone, Refused, scale, toggle_event

STRINGS = scale(1000, 100000, 100000)
AT_ONCE = 32
GROWTH_MAX = 64 << 20  # What memtables and the allocator may take meanwhile; leaks are larger.
LATE_SECONDS = scale(30.0, 10.0, 10.0)  # A sanitizer's build on a busy machine takes 3 s.

GOOD_REQUESTS = [
    ("hello", {"protocol": 1, "client": "test"}),
    ("ping", {}),
    ("order.create", {"id": "bytes-1", "machine": "parcel", "request_id": "r1", "actor": "a",
                      "attributes": {"owner": "o", "code": "c", "size": 3, "weight": 1.5,
                                     "fragile": True, "due": 1700000000000000, "kind": "SMALL",
                                     "extra": {"deep": [1, {"er": None}]}, "many": [1, 2.5, "x"]}}),
    ("order.transition", {"id": "bytes-1", "event": "mark", "expect_version": 1,
                          "expect_state": "NEW", "attributes": {"note": "n"}, "reason": "why",
                          "trace": "00-aa-bb-01", "timeout_ms": 1000}),
    ("order.get", {"id": "bytes-1", "consistency": "local", "min_seq": 1}),
    ("order.get_many", {"ids": ["bytes-1", "bytes-2"]}),
    ("order.history", {"id": "bytes-1", "from_version": 1, "limit": 10, "descending": True}),
    ("order.list", {"machine": "parcel", "state": "NEW", "limit": 5}),
    ("order.list", {"machine": "parcel", "attribute": "code", "value": "c"}),
    ("order.batch", {"atomic": True, "request_id": "b", "operations": [
        {"op": "create", "id": "bytes-3", "machine": "toggle"},
        {"op": "transition", "id": "bytes-1", "event": "mark"}]}),
    ("feed.read", {"from_seq": 1, "limit": 10, "wait_ms": 10, "shards": [1, 2],
                   "machines": ["parcel"], "states": ["NEW"]}),
    ("feed.subscribe", {"from_seq": 1, "credit": 10}),
    ("feed.credit", {"subscription": 1, "credit": 5}),
    ("feed.unsubscribe", {"subscription": 1}),
    ("machine.put", {"source": quorder.TOGGLE}),
    ("machine.get", {"machine": "toggle"}),
    ("machine.list", {}),
    ("cluster.status", {}),
]


def mutated(rng, samples):
    """Bytes that are random, or good requests with something wrong."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(rng.randrange(1, 400))
    data = bytearray(rng.choice(samples))
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(data))
        if kind in (1, 2):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[place] = rng.choice(b"\xc1\xc0\xc7\xd9\xda\xdb\xdc\xdd\xde\xdf\xcb\xcf\xd3\xff\x90")
        elif kind == 4:
            data = data[:max(1, place)]
        elif kind == 5:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 6:
            other = rng.choice(samples)
            data[place:] = other[rng.randrange(len(other)):] or b"\xc0"
        else:
            data += rng.choice(samples)
    return bytes(data)


class Bystander(threading.Thread):
    """Works through one node while others misbehave: each answer right, none late."""

    def __init__(self, cluster, n, order):
        super().__init__()
        self.connection = cluster.connect(n, LATE_SECONDS)
        self.order = order
        self.version = self.connection.call("order.create", id=order, machine="toggle")["version"]
        self.ending = threading.Event()
        self.fault = None
        self.longest = 0.0

    def call(self, method, **params):
        return self.connection.call(method, id=self.order, timeout_ms=60000, **params)

    def run(self):
        try:
            while not self.ending.is_set():
                before = time.monotonic()
                event = toggle_event(self.version + 1)
                receipt = self.call("order.transition", event=event)
                order = self.call("order.get")
                if not receipt["version"] == order["version"] == self.version + 1:
                    raise AssertionError(f"{receipt} {order} after version {self.version}")
                self.version += 1
                self.longest = max(self.longest, time.monotonic() - before)
                quorder.pause(0.02)
        except Exception as fault:  # pylint: disable=broad-except
            self.fault = fault

    def finish(self):
        self.ending.set()
        self.join(LATE_SECONDS + 20)
        self.connection.close()
        if self.fault:
            raise self.fault
        return self.longest


class Bytes(quorder.Test):
    machines = (quorder.TOGGLE, quorder.PARCEL)
    flags = quorder.CALM

    def setUp(self):
        self.n = self.cluster.others(self.cluster.leader())[0]  # A follower: it forwards too.
        self.pid = self.cluster.pid(self.n)
        self.bystander = Bystander(self.cluster, self.n, f"bystander-{self.id()}")
        self.bystander.start()
        self.addCleanup(self.bystander.ending.set)

    def tearDown(self):
        self.assertLess(self.bystander.finish(), LATE_SECONDS)
        for n in self.cluster.all():
            self.cluster.call(n, "ping")
        self.assertEqual(self.cluster.pid(self.n), self.pid)

    # -- Strings ---------------------------------------------------------------------------------

    def check_answers(self, sent, data):
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        unpacker.feed(data)
        for message in unpacker:
            if message[0] == 2:
                self.assertEqual(message[1], "feed.events", sent)
                continue
            self.assertEqual(len(message), 4, sent)
            self.assertEqual(message[0], 1, sent)
            if message[2] is not None:
                number, text, details = message[2]
                self.assertIn(number // 100, (1, 2, 3, 4), f"{message} to {sent!r}")
                self.assertIsInstance(text, str)
                self.assertIn("applied", details)
                self.counts["refused"] += 1
            else:
                self.counts["answered"] += 1

    def open_string(self, selector, data, address):
        connection = socket.create_connection(address, timeout=10)
        # A reset at the end: a hundred thousand closed sockets would use all ports up.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The node may have closed after the first bytes.
        connection.setblocking(False)
        state = {"sent": data, "got": bytearray(), "until": time.monotonic() + 5}
        selector.register(connection, selectors.EVENT_READ, state)

    def read_strings(self, selector):
        """Reads what has come; ends those that were closed, or stay open too long."""
        for key, _ in selector.select(0.2):
            try:
                data = key.fileobj.recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data:
                key.data["got"] += data
                continue
            self.counts["closed"] += 1
            self.end_string(selector, key)
        now = time.monotonic()
        for key in [k for k in selector.get_map().values() if k.data["until"] < now]:
            self.counts["left open"] += 1
            self.end_string(selector, key)

    def end_string(self, selector, key):
        selector.unregister(key.fileobj)
        key.fileobj.close()
        self.check_answers(key.data["sent"], bytes(key.data["got"]))

    def test_strings(self):
        samples = [quorder.Connection.encode(i, m, p) for i, (m, p) in enumerate(GOOD_REQUESTS)]
        address = ("127.0.0.1", self.cluster.base + self.n)
        self.counts = {"closed": 0, "left open": 0, "answered": 0, "refused": 0}
        selector = selectors.DefaultSelector()
        sent, before = 0, None
        while sent < STRINGS or selector.get_map():
            while sent < STRINGS and len(selector.get_map()) < AT_ONCE:
                self.open_string(selector, mutated(self.rng, samples), address)
                sent += 1
            self.read_strings(selector)
            if before is None and sent > STRINGS // 4:
                before = self.cluster.rss(self.n)
        growth = self.cluster.rss(self.n) - before
        print(f"{sent} strings: {self.counts}; memory grew by {growth >> 10} KiB", flush=True)
        self.assertGreater(self.counts["answered"], 0)
        self.assertGreater(self.counts["refused"], STRINGS // 10)
        self.assertLess(self.counts["left open"], STRINGS // 50 + 5)
        self.assertLess(growth, GROWTH_MAX)

    # -- Connections that do not behave ----------------------------------------------------------

    def test_half_open_and_half_sent(self):
        """Silence after half a message is ended after 30 s, dripping after 60; idleness is not."""
        idle = [self.cluster.connect(self.n) for _ in range(50)]
        half = [self.cluster.connect(self.n) for _ in range(scale(50, 200, 1000))]
        drip = self.cluster.connect(self.n)
        request = quorder.Connection.encode(3, "order.get", {"id": "x" * 100})
        for place, connection in enumerate(half):
            if place % 4 == 0:  # As a member's link begins.
                connection.send_bytes(quorder.LINK_OPENING[:1 + place % 14])
            else:
                connection.send_bytes(request[:1 + place % (len(request) - 1)])
        begin = time.monotonic()
        if SLOW:
            ended = None
            while ended is None and time.monotonic() - begin < 75:
                place = int((time.monotonic() - begin) / 0.9)
                try:
                    drip.send_bytes(request[place:place + 1] or b"x")
                    drip.read_some(time.monotonic() + 0.9)
                    ended = time.monotonic() - begin
                except Gone as gone:
                    if "closed" in str(gone) or "Broken" in str(gone) or "reset" in str(gone):
                        ended = time.monotonic() - begin
            self.assertIsNotNone(ended, "a dripping connection is never ended")
            self.assertTrue(55 < ended < 70, f"ended after {ended:.0f} s")
        for connection in half:
            answers, closed = connection.read_to_end(max(1.0, begin + 40 - time.monotonic()))
            self.assertTrue(closed)
            self.assertEqual([(a[1], a[2][0]) for a in answers], [(0, 100)])
        self.assertGreater(time.monotonic() - begin, 29)
        for connection in idle:
            connection.call("ping")
            connection.close()

    def test_a_client_that_does_not_read(self):
        """Answers that nobody takes fill a bounded buffer; then the socket is not read."""
        before = self.cluster.rss(self.n)
        deaf = []
        for _ in range(8):
            connection = self.cluster.connect(self.n)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.socket.settimeout(1.0)
            request = connection.encode(1, "machine.get", {"machine": "parcel"})
            try:
                for _ in range(400):
                    connection.socket.sendall(request * 500)
            except OSError:
                pass
            deaf.append(connection)
        growth = self.cluster.rss(self.n) - before
        print(f"memory grew by {growth >> 20} MiB", flush=True)
        self.assertLess(growth, 160 << 20)
        for connection in deaf:
            connection.reset()

    def test_large_answers_that_nobody_takes(self):
        """1,024 requests whose answers fill a message each: most are refused, all are answered."""
        call = self.cluster.connect(self.n).call
        ids = [f"large-{i}" for i in range(64)]
        for order in ids:
            call("order.create", id=order, machine="toggle", attributes={"note": "n" * 16000})
        for n in (self.cluster.leader(), self.cluster.others(self.cluster.leader())[0]):
            for consistency in ("local", "linearizable"):
                deaf = self.cluster.connect(n)
                self.cluster.call(n, "order.get_many", ids=ids)
                before = self.cluster.rss(n)
                sent = deaf.send_many([("order.get_many", {
                    "ids": ids, "consistency": consistency, "timeout_ms": 60000})] * 1024)
                quorder.pause(1.0)
                grown = 0
                numbers = collections.Counter()
                for place, msgid in enumerate(sent):
                    if place % 16 == 0:
                        grown = max(grown, self.cluster.rss(n) - before)
                    try:
                        self.assertEqual(len(deaf.wait(msgid, 60)["orders"]), 64)
                        numbers[0] += 1
                    except Refused as refused:
                        numbers[refused.number] += 1
                deaf.close()
                print(f"{consistency}: {dict(numbers)}, grew by {grown >> 20} MiB", flush=True)
                self.assertEqual(set(numbers), {0, 400})
                # What is unsent, its copies, the allocator; and what AddressSanitizer keeps of
                # freed memory, 256 MiB, so that its use is found.
                self.assertLess(grown, 384 + scale(256, 0, 0) << 20)

    def test_resets_in_the_middle(self):
        for i in range(scale(100, 500, 2000)):
            connection = self.cluster.connect(self.n)
            connection.send_bytes(connection.encode(1, "order.create", {
                "id": f"reset-{i}", "machine": "toggle"}))
            connection.send_bytes(connection.encode(2, "feed.subscribe", {
                "from_seq": 1, "credit": 1000})[:20 + i % 20])
            connection.reset()

    def test_outstanding(self):
        """Beyond 1,024 requests the node stops reading that socket, and only that one."""
        connection = self.cluster.connect(self.n)
        reads = connection.send_many([("feed.read", {"wait_ms": 4000, "machines": ["none"]})] * 1024)
        ping = connection.send("ping", {})
        with self.assertRaises(Gone):
            connection.wait(ping, 1.5)
        self.cluster.call(self.n, "ping")
        connection.wait(ping, 20)
        for msgid in reads:
            connection.wait(msgid, 20)
        connection.close()

    # -- Limits ----------------------------------------------------------------------------------

    def over(self, field, bound, method, **params):
        with self.cluster.connect(self.n) as connection:
            details = self.refused(100, connection.call, method, **params)
            self.assertEqual((details["field"], details.get("limit")), (field, bound))
            connection.call("ping")

    def test_limits_of_texts(self):
        call = self.cluster.connect(self.n).call
        call("order.create", id="i" * 128, machine="toggle", request_id="r" * 64, actor="a" * 256,
             reason="b" * 256, trace="t" * 256)
        for field, limit in (("id", 128), ("request_id", 64), ("actor", 256), ("reason", 256),
                             ("trace", 256), ("machine", 64)):
            params = dict({"id": "limits", "machine": "toggle"}, **{field: "x" * (limit + 1)})
            self.over(field, limit, "order.create", **params)
        self.refused(200, call, "order.create", id="limits", machine="m" * 64)
        self.refused(200, call, "order.get", id="limits")

    def test_limits_of_attributes(self):
        call = self.cluster.connect(self.n).call
        room = 16384 - len(msgpack.packb({"note": ""})) - 2  # A longer text has a longer head.
        call("order.create", id="at-limit", machine="toggle", attributes={"note": "n" * room})
        self.over("attributes", 16384, "order.create", id="over-limit", machine="toggle",
                  attributes={"note": "n" * (room + 1)})
        # What the order would then hold counts as well.
        base = {"owner": "o", "code": "held"}
        call("order.create", id="held", machine="parcel", attributes=dict(base, note="n" * 9000))
        self.over("attributes", 16384, "order.transition", id="held", event="mark",
                  attributes={"extra": {"k": "e" * 9000}})

        def nested(levels):
            value = 1
            for _ in range(levels):
                value = [value]
            return value

        call("order.create", id="nested", machine="parcel",
             attributes=dict(base, code="nested", many=nested(16)))
        with self.cluster.connect(self.n) as connection:
            for levels in (17, 100, 5000):
                details = self.refused(100, connection.call, "order.create", id="too-nested",
                                       machine="parcel",
                                       attributes=dict(base, code="x", many=nested(17)))
                self.assertEqual((details["field"], details.get("limit")), ("attributes.many", 16),
                                 levels)

    def test_limits_of_lists(self):
        call = self.cluster.connect(self.n).call
        self.assertEqual(len(call("order.get_many", ids=["none"] * 256)["orders"]), 256)
        self.over("ids", 256, "order.get_many", ids=["none"] * 257)
        operations = [{"op": "create", "id": f"ops-{i}", "machine": "toggle"} for i in range(1025)]
        self.assertEqual(len(call("order.batch", atomic=False,
                                  operations=operations[:1024])["results"]), 1024)
        self.over("operations", 1024, "order.batch", atomic=False, operations=operations)
        for method, params in (("order.history", {"id": "ops-1"}),
                               ("order.list", {"machine": "toggle"}), ("feed.read", {})):
            call(method, limit=1000, **params)
            self.over("limit", 1000, method, limit=1001, **params)
        call("order.get", id="ops-1", timeout_ms=60000)
        self.over("timeout_ms", 60000, "order.get", id="ops-1", timeout_ms=60001)
        self.over("wait_ms", 60000, "feed.read", wait_ms=60001)

    def test_limit_of_an_entry(self):
        """A message of the right size whose operations come to more than an entry can hold."""
        letters = string.ascii_letters
        names = list(letters) + [a + b for a in "ab" for b in letters][:74]
        floats = b"".join(msgpack.packb(n) + b"\xca" + struct.pack(">f", 0.1) for n in names)

        def message(count):
            pack = msgpack.packb
            operations = b"".join(
                b"\x84" + pack("op") + pack("create") + pack("id") + pack(f"big-{i}")
                + pack("machine") + pack("m") + pack("attributes")
                + b"\xde" + struct.pack(">H", len(names)) + floats for i in range(count))
            return (b"\x94\x00\x01" + pack("order.batch") + b"\x91\x83" + pack("atomic")
                    + pack(False) + pack("trace") + pack("t" * 256) + pack("operations")
                    + b"\xdd" + struct.pack(">I", count) + operations)

        for n in (self.cluster.leader(), self.n):
            with self.cluster.connect(n, 60) as connection:
                self.assertLess(len(message(1024)), 1 << 20)
                connection.send_bytes(message(1024))
                details = self.refused(100, connection.wait, 1, 60)
                self.assertEqual(details["field"], "operations")
                self.assertGreater(details["limit"], 1 << 20)
                connection.send_bytes(message(10))
                self.assertEqual(len(connection.wait(1)["results"]), 10)

    def test_limits_of_subscriptions(self):
        with self.cluster.connect(self.n) as connection:
            for _ in range(64):
                connection.call("feed.subscribe", credit=2**31)
            details = self.refused(100, connection.call, "feed.subscribe", credit=1)
            self.assertEqual(details["limit"], 64)
        self.over("credit", 2**31, "feed.subscribe", credit=2**31 + 1)

    def batch_of(self, size, prefix):
        """A batch whose request is `size` bytes long."""
        operations = [{"op": "create", "id": f"{prefix}-{i}", "machine": "toggle",
                       "attributes": {"note": "n" * 15000}} for i in range(size // 15100)]
        operations.append({"op": "create", "id": f"{prefix}-last", "machine": "toggle",
                           "attributes": {"note": "n" * 1000}})
        encode = quorder.Connection.encode
        room = size - len(encode(1, "order.batch", {"atomic": False, "operations": operations}))
        first = operations[0]["attributes"]
        while room > 0:
            step = min(room, 1000)
            first["note"] += "n" * step
            room -= step
            first = operations[(operations.index(next(
                o for o in operations if o["attributes"] is first)) + 1)]["attributes"]
        data = encode(1, "order.batch", {"atomic": False, "operations": operations})
        self.assertEqual(len(data), size)
        return data, len(operations)

    def test_limit_of_a_message(self):
        with self.cluster.connect(self.n) as connection:
            data, count = self.batch_of(1 << 20, "exact")
            connection.send_bytes(data)
            self.assertEqual(len(connection.wait(1)["results"]), count)
        with self.cluster.connect(self.n) as connection:
            data, _ = self.batch_of((1 << 20) + 1, "over")
            try:
                connection.send_bytes(data)
            except Gone:
                pass
            answers, closed = connection.read_to_end()
            self.assertTrue(closed)
            self.assertEqual([a[2][0] for a in answers], [100])
            details = answers[0][2][2]
            self.assertEqual((details["field"], details["limit"]), ("message", 1 << 20))
        self.refused(200, self.cluster.connect(self.n).call, "order.get", id="over-0")

    def definition(self, name, states=2, events=2, attributes=0, padding=0):
        lines = [f"machine: {name}", "version: 1", "initial: S0"]
        if attributes:
            lines += ["attributes:"] + [f"  a{i}: {{type: string}}" for i in range(attributes)]
        lines += ["states:"] + [f"  S{i}: {{}}" for i in range(states)]
        lines += ["events:"]
        for i in range(events):
            source = i % states
            lines.append(f"  e{i}: {{from: S{source}, to: S{(source + 1) % states}}}")
        text = "\n".join(lines) + "\n"
        if padding:
            text += "#" + "x" * (padding - len(text) - 2) + "\n"
        return text

    def test_limits_of_a_definition(self):
        call = self.cluster.connect(self.n).call
        call("machine.put", source=self.definition("at-states", states=256, events=256))
        call("machine.put", source=self.definition("at-events", states=256, events=512))
        call("machine.put", source=self.definition("at-attributes", attributes=128).replace(
            "to: S1}", "to: S1, accepts: [" + ", ".join(f"a{i}" for i in range(128)) + "]}", 1))
        call("machine.put", source=self.definition("at-source", padding=256 * 1024))
        self.over("source", 256 * 1024, "machine.put",
                  source=self.definition("over", padding=256 * 1024 + 1))
        for source, line in ((self.definition("over", states=257, events=257), 5 + 256),
                             (self.definition("over", states=256, events=513), 6 + 256 + 512),
                             (self.definition("over", attributes=129), 5 + 128),
                             (self.definition("m" * 65), 1)):
            details = self.refused(209, call, "machine.put", source=source)
            self.assertEqual(details["line"], line, details)


class Definitions(quorder.Test):
    flags = quorder.CALM

    def test_limit_of_definitions(self):
        """4,096 versions in all; one more is refused, the same again is not."""
        leader = self.cluster.leader()
        with self.cluster.connect(leader, 60.0) as connection:
            sources = [quorder.TOGGLE.replace("machine: toggle", f"machine: toggle-{i}")
                       for i in range(4097)]
            for begin in range(0, 4096, 256):
                ids = connection.send_many([("machine.put", {"source": source, "timeout_ms": 50000})
                                            for source in sources[begin:min(begin + 256, 4096)]])
                for msgid in ids:
                    self.assertTrue(connection.wait(msgid)["changed"])
            details = self.refused(209, connection.call, "machine.put", source=sources[4096])
            self.assertIn("why", details)
            self.assertFalse(connection.call("machine.put", source=sources[7])["changed"])
            self.refused(200, connection.call, "machine.get", machine="toggle-4096")
            connection.call("order.create", id="d", machine="toggle-4095")
            listed = connection.call("machine.list")
            self.assertLessEqual(len(listed["machines"]), 4096)


SLOW = quorder.SCALE != "short"

if __name__ == "__main__":
    quorder.main()
