"""The kinds of watchers, and mixes of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.kinds import EXPLAINED, MAX_WEIGHT, Kind, MixError, mix_of, shares

MIXES = st.dictionaries(st.sampled_from(list(Kind)), st.integers(1, MAX_WEIGHT), min_size=1)


class MixTests(SynchronousTestCase):
    def test_mix(self) -> None:
        """Weights are read; a kind alone has the weight 1."""
        self.assertEqual(mix_of("poll=80, ws=20"), {Kind.POLL: 80, Kind.WS: 20})
        self.assertEqual(mix_of("ws-delta2"), {Kind.WS_DELTA2: 1})

    def test_wrong_mixes(self) -> None:
        """The message says what is wrong, and names the kinds."""
        for text, said in (
            ("pol=1", "did you mean poll?"),
            ("", "there are poll, conditional"),
            ("poll,poll", "poll is there twice"),
            ("poll=0", "from 1 to"),
            ("poll=x", "from 1 to"),
            ("poll=\u0661", "from 1 to"),
            (f"poll={MAX_WEIGHT + 1}", "from 1 to"),
        ):
            with self.subTest(text):
                self.assertIn(said, str(self.assertRaises(MixError, mix_of, text)))

    def test_every_kind_is_explained(self) -> None:
        """The help has all of them."""
        self.assertEqual({*EXPLAINED}, {*Kind})

    @given(MIXES, st.integers(1, 100_000))
    def test_shares(self, weights: dict[Kind, int], count: int) -> None:
        """All watchers are shared out, and each kind has its share to within one."""
        found = shares(weights, count)
        self.assertEqual(sum(found.values()), count)
        self.assertTrue(all(found.values()))
        for kind, weight in weights.items():
            self.assertLess(abs(found.get(kind, 0) - weight * count / sum(weights.values())), 1)
