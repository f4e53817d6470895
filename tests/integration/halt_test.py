#!/usr/bin/python3
"""
Goal: a node that stood still takes up nothing that nobody waits for any more: neither what came on
a connection that was reset meanwhile, nor what was sent longer ago than its own time.
Method: SIGSTOP to the leader or a follower; a client sends a write and resets its connection, made
before the halt or during it; SIGCONT. The write must never be applied. Beside it stands a write on
a connection that lives: it must be, so that a node that drops everything does not pass.
"""

import contextlib
import os
import signal

import quorder
from quorder import Gone, Refused, scale

ROUNDS = scale(2, 4, 20)
# Seconds: a halt that the loop notices (QO_HALT_MS), below an election; and one that it does not,
# where the bytes and the reset come in one turn.
LONG, SHORT = 0.4, 0.05


class Halt(quorder.Test):
    machines = (quorder.TOGGLE,)
    flags = quorder.CALM  # Who leads changes where a test wants it to.

    @contextlib.contextmanager
    def halted(self, n, seconds):
        """Node n stands still in the body and for so long: what it is asked stays unanswered."""
        with self.cluster.connect(n) as witness:
            witness.call("ping")
            os.kill(self.cluster.pid(n), signal.SIGSTOP)
            try:
                ping = witness.send("ping", {})
                yield
                with self.assertRaises(Gone):
                    witness.wait(ping, seconds)
            finally:
                os.kill(self.cluster.pid(n), signal.SIGCONT)
            witness.wait(ping)

    def round(self, n, name, seconds):
        """The ids of writes that were reset, and whether the one beside them was taken."""
        before, beside = self.cluster.connect(n), self.cluster.connect(n)
        for connection in (before, beside):
            connection.call("ping")
        with self.halted(n, seconds):
            during = self.cluster.connect(n)
            for place, connection in (("before", before), ("during", during)):
                connection.send("order.create", {"id": f"{name}-{place}", "machine": "toggle"})
                connection.reset()
            alive = beside.send("order.create", {"id": f"{name}-alive", "machine": "toggle"})
        taken = True
        try:
            self.assertEqual(beside.wait(alive)["version"], 1)
        except Refused as refused:  # An election may have come between.
            self.assertIn(refused.number, quorder.TRY_AGAIN)
            taken = False
        beside.call("ping")
        beside.close()
        return [f"{name}-before", f"{name}-during"], taken

    def check_dropped(self, which, halts):
        reset, taken = [], 0
        for i in range(ROUNDS):
            for seconds in halts:
                leader = self.cluster.leader()
                n = leader if which == "leader" else self.cluster.others(leader)[i % 2]
                ids, one = self.round(n, f"{which}-{seconds}-{i}", seconds)
                reset += ids
                taken += one
        print(f"{which}: {len(reset)} writes reset, {taken} beside them taken", flush=True)
        self.assertGreater(taken, 0)
        with self.cluster.client(self.rng) as client:
            found = client.call("order.get_many", ids=reset)["orders"]
        self.assertEqual([o["id"] for o in found if o], [], "applied after the reset")

    def test_a_leader_drops_what_was_reset(self):
        self.check_dropped("leader", (LONG, SHORT))

    def test_a_follower_drops_what_was_reset(self):
        self.check_dropped("follower", (LONG, SHORT))

    def test_time_runs_out_during_a_halt(self):
        """When the bytes came nobody knows: a request's time is counted from before the halt."""
        for i in range(ROUNDS):
            leader = self.cluster.leader()
            for n in (leader, self.cluster.others(leader)[0]):
                with self.cluster.connect(n) as connection:
                    connection.call("ping")
                    with self.halted(n, LONG):
                        late = connection.send("order.create", {
                            "id": f"late-{i}-{n}", "machine": "toggle", "timeout_ms": 100})
                    try:
                        connection.wait(late)
                        self.fail("taken after its time")
                    except Refused as refused:
                        self.assertIn(refused.number, (301, 303))
                        self.assertIs(refused.details["applied"], False)
                self.refused(200, self.cluster.call, self.cluster.leader(), "order.get",
                             id=f"late-{i}-{n}")

    def test_nobody_waits_for_a_leader_that_was_replaced(self):
        """What was forwarded to a leader that stands still is answered once another one leads."""
        for round_ in range(ROUNDS):
            leader = self.cluster.leader()
            follower = self.cluster.others(leader)[round_ % 2]
            name = f"replaced-{round_}"
            self.cluster.at(follower).call("order.create", id=f"{name}-before", machine="toggle")
            with self.cluster.connect(follower, 30.0) as connection:
                os.kill(self.cluster.pid(leader), signal.SIGSTOP)
                try:
                    with self.assertRaises(Refused) as told:
                        connection.call("order.create", id=name, machine="toggle",
                                        request_id=name, timeout_ms=60000)
                finally:
                    os.kill(self.cluster.pid(leader), signal.SIGCONT)
            self.assertIn(told.exception.number, quorder.TRY_AGAIN)
            receipt = self.cluster.client(self.rng).call("order.create", id=name,
                                                         machine="toggle", request_id=name)
            self.assertEqual(receipt["version"], 1)


if __name__ == "__main__":
    quorder.main()
