"""Close codes that say when a closed client comes back."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.close_codes import (
    COME_BACK,
    DO_NOT_COME_BACK,
    GOING_AWAY,
    LAST_SLOT,
    MEANINGS,
    POLICY_VIOLATION,
    SLOTS,
    WITHDRAWN_DELAYS_MS,
    close_code,
    delay_ms,
    random_slot,
    told,
    withdrawal_delay_ms,
)
from livefeed.web.problems import COME_BACK as COME_BACK_LATER
from livefeed.web.problems import TYPES


class ReasonTests(SynchronousTestCase):
    """told."""

    def test_reason(self) -> None:
        """The delay for clients, and the page for people; the longest one fits into a close frame (RFC 6455, 5.5)."""
        self.assertEqual(told(b"", 40, COME_BACK_LATER), b"see /-/problems/come-back; come back in 40 ms")
        for kind in TYPES:
            self.assertLessEqual(len(told(b"the document is withdrawn; ", 3_600_000, kind)), 123)


class MeaningTests(SynchronousTestCase):
    """MEANINGS."""

    def test_each_code_that_is_sent_has_a_meaning(self) -> None:
        """For the clients that are sent it."""
        sent = {
            *(
                (code, "without a subprotocol")
                for code in (GOING_AWAY, POLICY_VIOLATION, COME_BACK, COME_BACK + LAST_SLOT)
            ),
            *((code, "with a subprotocol") for code in (COME_BACK, COME_BACK + LAST_SLOT, DO_NOT_COME_BACK)),
        }
        for code, by in sent:
            found = [each for each in MEANINGS if each.codes[0] <= code <= each.codes[1] and each.by in (by, "all")]
            self.assertTrue(found, (code, by))
        for each in MEANINGS:
            self.assertLessEqual(*each.codes)
            self.assertTrue(each.when and each.client)


class SlotTests(SynchronousTestCase):
    def test_codes_of_delays(self) -> None:
        """A code is the number of 20 ms, rounded."""
        for delay, slot in ((0, 0), (20, 1), (29, 1), (31, 2), (6000, 300), (9980, LAST_SLOT), (9989, LAST_SLOT)):
            self.assertEqual(close_code(delay), COME_BACK + slot, delay)

    def test_longer_delays_than_a_code_can_say(self) -> None:
        """Their codes are spread evenly, from 6 s to 9.98 s: clients that read the code alone do not come together."""
        codes = Counter(close_code(20 * slot) for slot in range(SLOTS, SLOTS + 20 * 200))
        self.assertEqual((min(codes), max(codes), set(codes.values())), (3300, 3499, {20}))

    @given(st.integers(0, 10_000_000))
    def test_codes_never_leave_their_range(self, delay: int) -> None:
        """3500 and up would tell a client not to come back."""
        self.assertTrue(COME_BACK <= close_code(delay) < COME_BACK + SLOTS)

    def test_random_slots_leave_time(self) -> None:
        """None is within the first second: the document may be there again by then."""
        random.seed(5)
        slots = {random_slot() for _ in range(20_000)}
        self.assertEqual((min(slots), max(slots)), (50, SLOTS - 1))

    def test_slots_are_multiples_of_20_ms(self) -> None:
        """The longest delay is just below ten seconds."""
        self.assertEqual([round(delay_ms(slot)) for slot in (0, 1, 50, LAST_SLOT)], [0, 20, 1000, 9980])

    def test_delays_after_a_withdrawal(self) -> None:
        """They are spread over half a minute, and each is longer than a code can say."""
        random.seed(5)
        delays = [withdrawal_delay_ms() for _ in range(2000)]
        shortest, longest = WITHDRAWN_DELAYS_MS
        self.assertTrue(all(shortest <= delay <= longest for delay in delays))
        self.assertGreater(len({delay // 1000 for delay in delays}), 25)
        self.assertGreater(shortest, delay_ms(LAST_SLOT))
