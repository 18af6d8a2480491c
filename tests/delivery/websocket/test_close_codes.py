"""The times at which closed clients come back."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.close_codes import LAST_SLOT, SLOTS, delay_ms, random_slot, slots_for


class SlotTests(SynchronousTestCase):
    def test_few_clients_share_the_first_slots(self) -> None:
        """Twenty clients in 20 ms are 1000 per second."""
        self.assertEqual(list(slots_for(0)), [])
        self.assertEqual(list(slots_for(1)), [50])
        self.assertEqual(Counter(slots_for(60)), {50: 20, 51: 20, 52: 20})

    def test_many_clients_share_all_slots_evenly(self) -> None:
        """They come back faster than 1000 per second, because a code cannot name a later slot."""
        slots = Counter(slots_for(45_000))
        self.assertEqual((min(slots), max(slots), set(slots.values())), (50, LAST_SLOT, {100}))

    def test_slots_are_in_order(self) -> None:
        """The first client in the list comes back first."""
        for count in (7, 999, 20_001):
            slots = list(slots_for(count))
            self.assertEqual((len(slots), slots), (count, sorted(slots)))

    def test_random_slots_leave_time_for_a_restart(self) -> None:
        """None is within the first second."""
        random.seed(5)
        slots = {random_slot() for _ in range(20_000)}
        self.assertEqual((min(slots), max(slots)), (50, SLOTS - 1))

    def test_slots_are_multiples_of_20_ms(self) -> None:
        """The longest delay is just below ten seconds."""
        self.assertEqual([round(delay_ms(slot)) for slot in (0, 1, 50, LAST_SLOT)], [0, 20, 1000, 9980])
