"""Busy seconds from several threads, and the share of the time that passed."""

from __future__ import annotations

import threading
import time

import pytest

from omnitts.utilisation import Utilisation


def test_stages_are_counted_in_the_order_they_report() -> None:
    used = Utilisation()
    used.add("decode", 2.0)
    used.add("flow", 1.0, count=3)
    used.add("decode", 1.0)
    decode, flow = used.table(wall_s=4.0)
    assert (decode.stage, decode.busy_s, decode.share, decode.count) == ("decode", 3.0, 0.75, 2)
    assert (flow.stage, flow.share, flow.count) == ("flow", 0.25, 3)
    assert used.busy_s("never") == 0.0
    assert used.table(wall_s=0.0)[0].share == 0.0


def test_a_block_is_timed_also_when_it_fails() -> None:
    used = Utilisation()

    def fail() -> None:
        with used.busy("check"):
            time.sleep(0.01)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert used.busy_s("check") >= 0.01


def test_threads_and_collectors_add_up() -> None:
    whole, part = Utilisation(), Utilisation()
    threads = [threading.Thread(target=lambda: [part.add("flow", 0.5) for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole.add("flow", 1.0)
    whole.include(part)
    assert whole.busy_s("flow") == 201.0
    assert whole.table(201.0)[0].count == 401
