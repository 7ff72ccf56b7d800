"""alibi-detect's TabularDrift as a detector: the extra `alibi`, whose licence allows no production use (see operations.md).

It wants rows where the profile has counts, so it is given, for each row, the bin or category that its value lies in:
just what is known of the reference. Kolmogorov-Smirnov on the numbers of bins is that on binned values.
"""

from collections.abc import Iterable

import numpy as np
from alibi_detect.cd import TabularDrift

from app.events import DriftTest
from app.monitoring.detectors import Comparison, Counts, Values, comparison, counted
from graph.profile import Column


class AlibiDetector:
    """The share of missing values and the effect, which TabularDrift does not know, are measured as by default."""

    def compare(self, reference: Column, values: Values) -> Comparison:
        return comparison(counted(reference, values), self._tests)

    @staticmethod
    def _tests(counts: Counts) -> Iterable[DriftTest]:
        before, now = (np.repeat(np.arange(len(side)), side)[:, np.newaxis] for side in (counts.before, counts.now))
        categories = {} if counts.ordered else {0: None}
        made = TabularDrift(before, categories_per_feature=categories).predict(now, drift_type="feature")["data"]
        name = "ks" if counts.ordered else "chi2"
        yield DriftTest(name, float(made["distance"][0]), float(made["p_val"][0]))
