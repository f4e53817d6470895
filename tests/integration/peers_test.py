#!/usr/bin/python3
"""
Goal: a node does not hand on what no node answers: `internal`, which claims nothing of a write's
effect; a request goes one hop, never two; and one that was held up under way is not done late.
Method: before each node of a real cluster stands a gate of ours, at the address that the others know.
It passes everything on; but where one node forwards to another, it answers itself, or leads to a node
that does not lead. A client asks a real follower.
"""

import socket
import threading
import time

import msgpack

import quorder
from quorder import Refused


class Gates:
    """What the gates do with connections over which a node forwards to another."""

    def __init__(self):
        self.lock = threading.Lock()
        self.answer = None  # Makes the bytes to answer, from a forward's msgid and its message.
        self.lead_to = None  # An address to pass to instead.
        self.forwarding = set()  # Their sockets.
        self.forwarded = 0  # Messages that `answer` was asked for.
        self.flows = threading.Event()  # Else what is forwarded waits in the gate.
        self.flows.set()

    def do(self, answer=None, lead_to=None):
        """From the next connection on; those that are open end."""
        with self.lock:
            self.answer, self.lead_to = answer, lead_to
            for one in self.forwarding:
                shut(one)
            self.forwarding.clear()


def shut(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has ended by itself.


class Gate:
    """Listens where a node is known and passes connections on to where it really listens."""

    def __init__(self, gates, known, real):
        self.gates = gates
        self.real = real
        host, port = known.rsplit(":", 1)
        self.listener = socket.create_server((host, int(port)), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        shut(self.listener)
        self.listener.close()

    def accept(self):
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(taken,), daemon=True).start()

    def serve(self, taken):
        with taken:
            try:
                first, data = self.first_request(taken)
                if first is not None:
                    self.route(taken, first, data)
            except OSError:
                pass  # An end of either side is the end of both.

    @staticmethod
    def first_request(taken):
        """The first request and all bytes read with it; None if there is none."""
        unpacker, data = msgpack.Unpacker(raw=True), b""
        while True:
            more = taken.recv(1 << 16)
            if not more:
                return None, data
            data += more
            unpacker.feed(more)
            for message in unpacker:
                return message, data

    def route(self, taken, first, data):
        real = self.real
        flows = None
        if first[2] == b"peer.hello":
            flows = self.gates.flows
            with self.gates.lock:
                self.gates.forwarding.add(taken)
                answer = self.gates.answer
                real = self.gates.lead_to or real
            if answer is not None:
                self.answer(taken, data, answer)
                return
        host, port = real.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as onward:
            onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            onward.sendall(data)
            back = threading.Thread(target=pass_on, args=(onward, taken), daemon=True)
            back.start()
            pass_on(taken, onward, flows)
            back.join()

    def answer(self, taken, data, answer):
        unpacker = msgpack.Unpacker(raw=True)
        while data:
            unpacker.feed(data)
            for _, msgid, method, params in unpacker:
                if method == b"peer.hello":
                    clock = time.monotonic_ns() // 1000  # The same for all on this machine.
                    taken.sendall(msgpack.packb([1, msgid, None, {"clock_us": clock}]))
                else:
                    self.gates.forwarded += 1
                    taken.sendall(answer(msgid, params[0][b"message"]))
            data = taken.recv(1 << 16)


def pass_on(source, target, flows=None):
    try:
        while data := source.recv(1 << 16):
            if flows is not None:
                flows.wait()
            target.sendall(data)
    except OSError:
        pass
    shut(source)
    shut(target)


def response(msgid, result):
    return msgpack.packb([1, msgid, None, result], use_bin_type=True)


def inside(make):
    """A right answer to the forward, with `make(client's msgid)` as what the client would get."""
    return lambda msgid, message: response(msgid, make(msgpack.unpackb(message)[1]))


NONSENSE = {
    "an error to the forward": lambda msgid, _: msgpack.packb([1, msgid, [100, "no", {}], None]),
    "an error that is none": lambda msgid, _: msgpack.packb([1, msgid, 7, None]),
    "a number": lambda msgid, _: response(msgid, 7),
    "a map": lambda msgid, _: response(msgid, {"version": 2}),
    "nothing inside": inside(lambda _: b""),
    "no MessagePack inside": inside(lambda _: b"\xc1"),
    "a request inside": inside(lambda client: msgpack.packb([0, client, "ping", []])),
    "a notification inside": inside(lambda _: msgpack.packb([2, "feed.events", [{}]])),
    "half a response inside": inside(lambda client: response(client, {"version": 2})[:-1]),
    "more than a response inside": inside(lambda client: response(client, {}) + b"\0"),
    "another client's response": inside(lambda client: response(client + 1, {"version": 2})),
    "a result that is no map": inside(lambda client: response(client, 7)),
    "an error inside that is none": inside(lambda client: msgpack.packb([1, client, 7, None])),
    # From here on nothing tells which request is meant: the link ends.
    "a response to nothing": lambda msgid, _: response(msgid + 1, b""),
    "a request": lambda msgid, _: msgpack.packb([0, msgid, "ping", []]),
    "a notification": lambda msgid, _: msgpack.packb([2, "feed.events", [{}]]),
    "no MessagePack-RPC": lambda *_: msgpack.packb({"version": 2}),
    "no MessagePack": lambda *_: b"\xc1",
}


class Peers(quorder.Test):
    machines = (quorder.TOGGLE,)
    flags = quorder.CALM  # What members tell each other passes our threads too.

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gates = Gates()
        for n in cls.cluster.all():
            cls.cluster.kill(n)
            gate = Gate(cls.gates, cls.cluster.address(n), cls.real(n))
            cls.addClassCleanup(gate.close)
            cls.cluster.restart(n, "--listen", cls.real(n), *cls.flags)
        cls.cluster.leader()

    @classmethod
    def real(cls, n):
        return f"127.0.0.1:{cls.cluster.base + 10 + n}"

    def setUp(self):
        self.addCleanup(self.gates.do)
        self.leader = self.cluster.leader()
        self.asked, self.other = self.cluster.others(self.leader)
        self.connection = self.cluster.connect(self.asked)
        self.addCleanup(self.connection.close)

    def refused_there(self, number, method, **params):
        """Details of the refusal with `number`; 301 stands for a link that is not there again yet,
        and certainly had no effect."""

        def refusal():
            try:
                return self.connection.call(method, **params)
            except Refused as refused:
                return None if refused.number == 301 else refused

        refused = quorder.eventually(refusal, what=f"an answer to {method} over the link")
        self.assertIsInstance(refused, Refused, refused)
        self.assertEqual(refused.number, number, refused)
        return refused.details

    def test_nonsense_is_not_handed_on(self):
        self.cluster.at(self.leader).call("order.create", id="n", machine="toggle")
        write = {"id": "n", "event": "go", "request_id": "w"}
        for name, answer in NONSENSE.items():
            with self.subTest(name):
                self.gates.do(answer=answer)
                before = self.gates.forwarded
                details = self.refused_there(500, "order.transition", **write)
                self.assertEqual(details, {"code": "internal", "applied": None})
                details = self.refused_there(500, "order.get", id="n")
                self.assertEqual(details, {"code": "internal", "applied": False})
                self.assertEqual(self.gates.forwarded, before + 2, "forwarded once each")
        self.assertIn("peer_defect", self.cluster.log(self.asked).read_text(errors="replace"))
        self.gates.do()
        client = self.cluster.client(self.rng)
        receipt = self.first(client.call("order.transition", **write))
        self.assertEqual(receipt["version"], 2)
        client.close()

    def test_nonsense_after_the_effect(self):
        """Why `internal` claims nothing: the leader did it, and only its answer was spoilt."""
        self.cluster.at(self.leader).call("order.create", id="a", machine="toggle")
        receipts = []

        def spoil(msgid, message):
            with quorder.Connection(self.real(self.leader)) as connection:
                connection.send_bytes(message)
                receipts.append(connection.wait(msgpack.unpackb(message)[1]))
            return response(msgid, 7)

        self.gates.do(answer=spoil)
        write = {"id": "a", "event": "go", "request_id": "w"}
        details = self.refused_there(500, "order.transition", **write)
        self.assertIsNone(details["applied"])
        self.gates.do()
        client = self.cluster.client(self.rng)
        self.assertEqual(client.call("order.transition", **write),
                         dict(receipts[0], replayed=True))
        client.close()

    def test_one_hop_and_no_second(self):
        """Led to a follower, a forwarded request is refused there with the leader's address."""
        self.gates.do(lead_to=self.real(self.other))
        for method, params in (("order.create", {"id": "hop", "machine": "toggle"}),
                               ("order.get", {"id": "hop"}),
                               ("machine.put", {"source": quorder.TOGGLE})):
            with self.subTest(method):
                details = self.refused_there(300, method, **params)
                self.assertEqual(details, {"code": "not_leader", "applied": False,
                                           "leader": self.cluster.address(self.leader)})
        self.gates.do()
        self.refused_there(200, "order.get", id="hop")

    def test_what_was_held_up_is_not_done_late(self):
        """Its client gave up: a refusal that it gets now is final."""
        call = self.cluster.at(self.leader).call
        call("order.create", id="late", machine="toggle")
        quorder.eventually(self.reaches_the_leader, what="a link")
        self.gates.flows.clear()
        self.addCleanup(self.gates.flows.set)
        ids = self.connection.send_many([
            ("order.transition", {"id": "late", "event": "go", "request_id": "w",
                                  "timeout_ms": 2000}),
            ("order.transition", {"id": "late", "event": "go", "request_id": "in-time",
                                  "timeout_ms": 60000})])
        with self.assertRaises(Refused) as raised:
            self.connection.wait(ids[0])
        self.assertEqual((raised.exception.number, raised.exception.details["applied"]),
                         (302, None))
        self.gates.flows.set()
        receipt = self.connection.wait(ids[1], 60)  # Behind it on the same link.
        self.assertEqual(receipt["version"], 2)
        events = [e["request_id"] for e in self.cluster.history(self.leader, "late")[1:]]
        self.assertEqual(events, ["in-time"])

    def reaches_the_leader(self):
        try:
            return self.connection.call("order.get", id="late")
        except Refused:
            return None

    def test_a_member_of_another_cluster_is_no_leader(self):
        """What refuses to know us as a member is no defect, and the request may have arrived."""
        refusal = msgpack.packb([1, 1 << 14, [100, "no", {}], None])
        self.gates.do(answer=lambda *_: refusal)
        details = self.refused_there(302, "order.create", id="o", machine="toggle")
        self.assertIsNone(details["applied"])
        self.refused(301, self.connection.call, "order.get", id="o")


if __name__ == "__main__":
    quorder.main()
