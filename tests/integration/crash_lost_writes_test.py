#!/usr/bin/python3
"""
Goal: what was acknowledged was synced: it is there even if a kill takes everything unsynced along.
Method: as crash_test, with nodes under tests/support/lost_writes.c, which takes back at the next
start what no sync had covered and lengthens the time between handing a write to the disk and its
being there. Every second kill is of all nodes at once, so that no memory helps out.
"""

import re

import crash_test
import quorder
from quorder import scale

LIBRARY = quorder.preloaded("lost_writes.so")


class CrashLostWrites(crash_test.Crash):
    kills = scale(2, 16, 50)
    all_of = 2
    # Long enough that an answer gets out before the write, on a busy machine too, if nothing waits.
    environment = f"LD_PRELOAD={LIBRARY} QO_LOST_DELAY_US=10000"

    def test_nothing_acknowledged_is_lost(self):
        super().test_nothing_acknowledged_is_lost()
        told = "".join(self.cluster.log(n).read_text(errors="replace") for n in self.cluster.all())
        lost = [int(x) for x in re.findall(r"lost_writes: (\d+) bytes", told)]
        print(f"{sum(lost)} unsynced bytes were lost in {len(lost)} starts", flush=True)
        self.assertGreater(sum(lost), 0, "nothing was lost: this proves nothing")


if __name__ == "__main__":
    quorder.main()
