#!/usr/bin/python3
"""
Goal: a leader whose packets vanish, and which runs on, neither acknowledges a write nor answers a
read as if it still led; a node that forwards to such a one answers for it within the limits of
common/limits.h, with the error that is true, and forwards again soon after packets come through.
Method: nodes on machines of their own. A client on the leader's machine asks it while it is cut from
the others, before and after these have a leader of their own. For what is forwarded, two nodes with
elections so slow that the cut leader stays the leader whom the other one knows. Nothing else would
tell that one: no election, no reset; the kernel would try for minutes to connect, and for a quarter
of an hour to send.
"""

import time

import apart
import quorder
from quorder import scale

UNKNOWN_ORDER = 200
UNAVAILABLE, UNKNOWN_OUTCOME = 301, 302
CONNECT_S, SILENCE_S = 2.0, 5.0  # QO_FORWARD_CONNECT_MS, QO_FORWARD_SILENCE_MS
SLACK_S = 5.0  # The kernel's timers, the node's tick, and a busy machine.
# After a heal: a try to connect that was begun before it, then the links between the members.
AGAIN_S = 8.0
LONG_MS = 30000  # Longer than anything here: what ends such a request is not its own time.


class CutLeader(quorder.Test):
    make_cluster = apart.Apart
    machines = (quorder.TOGGLE,)

    def ask(self, connection, name, about):
        """Asks in one piece: to read an order, to move it, to make another. The requests' numbers."""
        write = {"timeout_ms": 3000}
        return connection.send_many([
            ("order.get", {"id": name, "timeout_ms": 3000}),
            ("order.transition", dict(write, id=name, event="go", request_id=f"{name}-{about}")),
            ("order.create", dict(write, id=f"{name}-{about}", machine="toggle")),
        ])

    def test_answers_for_nobody(self):
        for round_ in range(scale(2, 5, 25)):
            leader = self.cluster.leader()
            others = self.cluster.others(leader)
            name = f"order-{round_}"
            with self.cluster.at(leader) as client:
                client.call("order.create", id=name, machine="toggle")
            with self.cluster.connect_inside(leader) as inside:
                self.cluster.cut(leader)
                asked = self.ask(inside, name, "early")
                there = quorder.Client([self.cluster.address(n) for n in others], self.rng)
                there.call("order.transition", id=name, event="go", request_id=f"{name}-there")
                there.close()
                asked += self.ask(inside, name, "late")
                for msgid in asked:
                    with self.assertRaises(quorder.Refused) as told:
                        inside.wait(msgid)
                    self.assertIn(told.exception.number, quorder.TRY_AGAIN)
                # It lives, and says what it has to who asks for no more.
                old = inside.call("order.get", id=name, consistency="local")
                self.assertEqual(old["version"], 1)
            self.cluster.heal(leader)
            self.cluster.leader()
            self.cluster.caught_up()
            for n in self.cluster.all():
                events = self.cluster.history(n, name)
                self.assertEqual([e["request_id"] for e in events[1:]], [f"{name}-there"])
                for about in ("early", "late"):
                    self.refused(UNKNOWN_ORDER, self.cluster.call, n, "order.get",
                                 id=f"{name}-{about}")


class Forwarding(quorder.Test):
    """Methods run in the order of their names: at first there is no connection to forward on."""

    make_cluster = apart.Apart
    nodes = 2
    flags = ("--election-ms", "15000")

    def setUp(self):
        self.leader = self.cluster.leader()
        self.follower = self.cluster.others(self.leader)[0]
        self.cluster.call(self.leader, "machine.put", source=quorder.TOGGLE)

    def create(self, name, timeout_ms):
        return self.cluster.call(self.follower, "order.create", id=name, machine="toggle",
                                 request_id=name, timeout_ms=timeout_ms)

    def works_again(self, name):
        def created():
            try:
                return self.create(name, 500)
            except quorder.Refused as refused:
                self.assertIn(refused.number, quorder.TRY_AGAIN)
                return None

        self.cluster.heal(self.leader)
        quorder.eventually(created, AGAIN_S, "a forwarded write")
        self.assertEqual(self.cluster.leader(), self.leader, "else nothing was forwarded")

    def test_a_connection_that_does_not_open(self):
        self.cluster.cut(self.leader)
        begin = time.monotonic()
        self.refused(UNAVAILABLE, self.create, "never sent", LONG_MS)
        self.assertLess(time.monotonic() - begin, CONNECT_S + SLACK_S)
        self.assertFalse(self.cluster.ended(self.leader))
        self.works_again("after connecting")

    def test_an_open_connection(self):
        self.create("before", 5000)
        self.cluster.cut(self.leader)
        begin = time.monotonic()
        with self.cluster.connect(self.follower) as connection:
            write, read = connection.send_many([
                ("order.create", {"id": "sent", "machine": "toggle", "request_id": "sent",
                                  "timeout_ms": LONG_MS}),
                ("order.get", {"id": "before", "timeout_ms": LONG_MS}),
            ])
            self.refused(UNKNOWN_OUTCOME, connection.wait, write)
            self.refused(UNAVAILABLE, connection.wait, read)
        self.assertLess(time.monotonic() - begin, SILENCE_S + SLACK_S)
        self.assertFalse(self.cluster.ended(self.leader))
        self.works_again("after silence")
        self.create("sent", 5000)  # By its request id: whatever became of it, it is there once.
        self.assertEqual(len(self.cluster.history(self.follower, "sent")), 1)


if __name__ == "__main__":
    apart.stand_apart()
    quorder.main()
