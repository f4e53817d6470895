#!/usr/bin/python3
"""
Goal: of two clients that want the same transition at the same time, exactly one gets it.
Method: each race sends `go` (or `back`) for one order over two connections to different nodes; a
race counts only if neither had its answer when both were sent. The side that sends first
alternates, and leads by a random moment, else the way from a follower to the leader would decide
every race. Both sides must win a tenth of the races.
"""

import select
import time

import quorder
from quorder import Refused, scale, toggle_event

RACES = scale(500, 10000, 10000)


class Race(quorder.Test):
    machines = (quorder.TOGGLE,)
    flags = quorder.CALM

    def answer(self, connection, msgid):
        """(receipt, None) or (None, the refusal)."""
        try:
            return connection.wait(msgid), None
        except Refused as refused:
            self.assertIn(refused.number, (202, 203), refused)
            return None, refused

    def one_race(self, sides, order, version, first):
        """The side that won; None if one answer came before both requests were sent."""
        event = toggle_event(version)
        sent = {}
        under_way = True
        for place, side in enumerate((first, 1 - first)):
            if place == 1:
                until = time.perf_counter() + self.rng.random() * 0.0006
                while time.perf_counter() < until:
                    pass
                under_way = not select.select([sides[first].socket], [], [], 0)[0]
            params = {"id": order, "event": event, "request_id": f"{side}/{version}"}
            if version % 4 < 2:
                params["expect_version"] = version - 1
            sent[side] = sides[side].send("order.transition", params)
        answers = [self.answer(sides[side], sent[side]) for side in (0, 1)]
        winners = [side for side in (0, 1) if answers[side][0] is not None]
        self.assertEqual(len(winners), 1, answers)
        receipt, refusal = answers[winners[0]][0], answers[1 - winners[0]][1]
        self.assertEqual((receipt["version"], receipt["replayed"]), (version, False))
        self.assertEqual(refusal.number, 203 if version % 4 < 2 else 202)
        self.assertIs(refusal.details["applied"], False)
        return winners[0] if under_way else None

    def test_exactly_one_wins(self):
        leader = self.cluster.leader()
        others = self.cluster.others(leader)
        pairs = [(leader, others[0]), (others[0], others[1]), (others[1], leader)]
        wins, left_out, race, versions = [0, 0], 0, 0, {}
        deadline = time.monotonic() + 600
        call = self.cluster.at(leader).call
        while sum(wins) < RACES:
            self.assertLess(time.monotonic(), deadline, f"{wins} won, {left_out} left out")
            pair = pairs[race % len(pairs)]
            sides = [self.cluster.connect(n) for n in pair]
            order = f"race-{race}"
            call("order.create", id=order, machine="toggle")
            version = 1
            for version in range(2, 102):
                winner = self.one_race(sides, order, version, version // 2 % 2)
                if winner is None:
                    left_out += 1
                else:
                    wins[winner] += 1
            versions[order] = version
            race += 1
            for side in sides:
                side.close()
        print(f"{sum(wins)} races, won {wins}; {left_out} left out, not both under way",
              flush=True)
        self.assertGreaterEqual(min(wins), sum(wins) // 10)
        for order, version in versions.items():
            events = self.cluster.history(self.rng.choice(self.cluster.all()), order)
            self.assertEqual([e["version"] for e in events], list(range(1, version + 1)))


if __name__ == "__main__":
    quorder.main()
