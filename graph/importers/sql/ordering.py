"""What is read after what it needs."""

from collections import deque
from collections.abc import Sequence


def in_order(needs: Sequence[set[int]]) -> list[int]:
    """Each after those it needs, as far as they do not need one another; else as they stand."""
    before = [set(needed) for needed in needs]
    after: list[list[int]] = [[] for _ in needs]
    for number, needed in enumerate(needs):
        for each in sorted(needed):
            after[each].append(number)
    ready = deque(number for number, needed in enumerate(before) if not needed)
    remaining = deque(range(len(needs)))
    order: list[int] = []
    done: set[int] = set()
    while len(order) < len(needs):
        if not ready:  # they need one another
            while remaining[0] in done:
                remaining.popleft()
            ready.append(remaining[0])
        number = ready.popleft()
        if number in done:
            continue
        done.add(number)
        order.append(number)
        for each in after[number]:
            before[each].discard(number)
            if not before[each]:
                ready.append(each)
    return order
