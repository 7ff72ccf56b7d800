"""The loops of the lineage index, compiled by Numba: as fast as C, and without holding the interpreter's lock.

They know arrays alone; what the arrays mean stands in `topology` (for readers) and `tables` (for the writer). Numbers of
places and rows come as int32. Compiled code is cached beside this file (or in NUMBA_CACHE_DIR), so that only the first use
ever pays for it; see `warming`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

from graph.time import FOREVER

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    try:
        return cast("_F", njit(cache=True, nogil=True)(function))
    except RuntimeError:  # neither beside this file nor at home may a cache be written: each start compiles anew
        return cast("_F", njit(nogil=True)(function))


BEGIN, LIVE, END, RECENT = 0, 1, 2, 3
"""Columns of `bounds`, one row a place: its entries are [BEGIN, END), of which [BEGIN, LIVE) may hold now; RECENT is the
first of the rows since, -1 for none."""

CHECK = 16
"""Flag of an entry among the live ones whose times must be looked at all the same. Below it are the bits of `ports.Step`."""

PASS, STEP, CROSS = 0, 1, 2
"""What a walk does with an entry: leaves it, takes it for nothing, or crosses it as one hop."""

START, UNTIL, FIRST, LAST = 0, 1, 2, 3
"""Columns of `times`: valid from, valid until, known first, known last. One row is half a cache line."""


_TOGETHER = 64
"""Vertices whose entries a search looks up before it goes through them: memory then answers many questions at once."""

_at: Any = np.uint64
"""Of an index that is never negative: Numba then leaves out what Python does with negative ones, a third of the time."""


@_compiled
def _holds(times: Any, row: int, at: int, revision: int) -> bool:
    return bool(times[row, 0] <= at < times[row, 1] and times[row, 2] <= revision < times[row, 3])


@_compiled
def _chosen(row: int, strengths: int, origins: Any, source: Any, port: Any, strength: Any, origin: Any) -> bool:
    """Whether a flow is of the bases (bits of `strengths`) and origins asked for; `origins` empty means all."""
    known_by = 3 if port[source[row]] == 2 else strength[row]  # what requests must carry is inferred
    if not (strengths >> known_by) & 1:
        return False
    return len(origins) == 0 or bool(origins[origin[row]])


@_compiled
def breadth_first(
    starts: Any,
    depth: int,
    past: bool,
    at: int,
    revision: int,
    take: Any,
    filtered: bool,
    strengths: int,
    origins: Any,
    bounds: Any,
    far: Any,
    row: Any,
    flags: Any,
    following: Any,
    base: int,
    count: int,
    times: Any,
    far_of: Any,
    step: Any,
    source: Any,
    port: Any,
    strength: Any,
    origin: Any,
    state: Any,
    order: Any,
    ahead: Any,
    again: Any,
) -> tuple[int, int]:
    """Zero-one breadth-first search: steps cost nothing, flows one hop. Each vertex is expanded once.

    `state` holds -1 for every vertex, or -2 for those never to enter; afterwards, for those reached, twice the fewest hops,
    plus one unless some path (not always a shortest one) is live throughout. `order` lists them, nearest first. Answers how
    many these are, and from which place on they are farthest.
    """
    n = waiting = place = level = late = looked = ahead_from = _at(0)
    one = _at(1)
    distance = 0
    begins, ends, near = np.empty(_TOGETHER, np.uint64), np.empty(_TOGETHER, np.uint64), np.empty(_TOGETHER, np.int64)
    for start in starts:
        state[start] = 0
        order[n] = start
        n += one
    while True:
        while place < n:
            if place == looked:
                looked, ahead_from = min(n, place + _at(_TOGETHER)), place
                for index in range(place, looked):
                    vertex = _at(order[index])
                    known_of = vertex < len(bounds)  # else it came after the moment that these are of
                    begins[index - place] = bounds[vertex, 0] if known_of else 0
                    ends[index - place] = (bounds[vertex, 2] if past else bounds[vertex, 1]) if known_of else 0
                for index in range(looked - place):
                    if begins[index] < ends[index]:
                        near[index] = far[begins[index]] + flags[begins[index]]
            vertex = _at(order[place])
            begin, end = begins[place - ahead_from], ends[place - ahead_from]
            place += one
            if vertex >= len(bounds):
                continue
            built = state[vertex] & 1
            for entry in range(begin, end):
                flag = flags[entry]
                how = take[_at(flag & 15)]
                if how == 0:
                    continue
                other = _at(far[entry])
                known = state[other]
                unlive = built | (flag >> 1 & 1)
                nearer = known == -1 or (how == 1 and known >> 1 == distance + 1)
                if not nearer and not (known > 0 and known & 1 > unlive):
                    continue
                if (past or flag & 16) and not _holds(times, _at(row[entry]), at, revision):
                    continue
                if how == 2 and (
                    distance >= depth
                    or (filtered and not _chosen(row[entry], strengths, origins, source, port, strength, origin))
                ):
                    continue
                if not nearer:
                    state[other] = known - 1
                    if known >> 1 <= distance:
                        again[late] = other
                        late += one
                elif how == 1:
                    state[other] = distance << 1 | (unlive if known == -1 else unlive & known)
                    order[n] = other
                    n += one
                else:
                    state[other] = (distance + 1) << 1 | unlive
                    ahead[waiting] = other
                    waiting += one
            recent = bounds[vertex, 3]
            while recent >= 0 and recent < count:
                flag = step[recent]
                how = take[flag & 15]
                other = _at(far_of[recent])
                known = state[other] if how != 0 else -2
                unlive = built | (flag >> 1 & 1)
                nearer = known == -1 or (how == 1 and known >> 1 == distance + 1)
                if (
                    (nearer or (known > 0 and known & 1 > unlive))
                    and _holds(times, recent, at, revision)
                    and not (
                        how == 2
                        and (
                            distance >= depth
                            or (filtered and not _chosen(recent, strengths, origins, source, port, strength, origin))
                        )
                    )
                ):
                    if not nearer:
                        state[other] = known - 1
                        if known >> 1 <= distance:
                            again[late] = other
                            late += one
                    elif how == 1:
                        state[other] = distance << 1 | (unlive if known == -1 else unlive & known)
                        order[n] = other
                        n += one
                    else:
                        state[other] = (distance + 1) << 1 | unlive
                        ahead[waiting] = other
                        waiting += one
                recent = following[recent - base]
        if waiting == 0:
            break
        distance += 1
        level = n
        for index in range(waiting):
            other = _at(ahead[index])
            if state[other] >> 1 == distance:  # else a step reached it before
                order[n] = other
                n += one
        waiting = _at(0)
    # What was expanded before a live path to it was found hands that on: to vertices that are all reached by now.
    while late > 0:
        late -= one
        vertex = _at(again[late])
        if vertex >= len(bounds):
            continue
        for entry in range(_at(bounds[vertex, 0]), _at(bounds[vertex, 2] if past else bounds[vertex, 1])):
            flag = flags[entry]
            how = take[_at(flag & 15)]
            other = _at(far[entry])
            if how == 0 or flag & 2 or state[other] <= 0 or not state[other] & 1:
                continue
            if (past or flag & 16) and not _holds(times, _at(row[entry]), at, revision):
                continue
            if how == 2 and filtered and not _chosen(row[entry], strengths, origins, source, port, strength, origin):
                continue
            state[other] -= 1
            again[late] = other
            late += one
        recent = bounds[vertex, 3]
        while recent >= 0 and recent < count:
            flag = step[recent]
            how = take[flag & 15]
            other = _at(far_of[recent])
            if (
                how != 0
                and not flag & 2
                and state[other] > 0
                and state[other] & 1
                and _holds(times, recent, at, revision)
                and not (
                    how == 2 and filtered and not _chosen(recent, strengths, origins, source, port, strength, origin)
                )
            ):
                state[other] -= 1
                again[late] = other
                late += one
            recent = following[recent - base]
    return n, level


@_compiled
def forget(order: Any, state: Any, blank: int) -> None:
    """Writes `blank` for the vertices in `order`, which are all that differ."""
    if len(order) > len(state) // 8:
        state[:] = blank
        return
    for vertex in order:
        state[_at(vertex)] = blank


@_compiled
def assets_among(
    order: Any,
    state: Any,
    start: int,
    downstream: bool,
    asset_of: Any,
    port: Any,
    kind: Any,
    container: Any,
    whole: Any,
    some: Any,
    alias: int,
) -> tuple[Any, Any, Any]:
    """The assets with a port in `order`, nearest first: number, fewest hops, and whether only `any` was reached.

    Without `start`, its container and its parts; aliases and what requests carry are no assets.
    """
    assets = np.empty(len(order), np.int32)
    fewest = np.empty(len(order), np.int32)
    partly = np.empty(len(order), np.bool_)
    around = container[start] if start > 0 else -1
    n = 0
    for reached in order:
        vertex = _at(reached)
        asset = _at(asset_of[vertex])
        if port[vertex] == 2 or kind[asset] == alias:
            continue
        of_whole, of_some = state[_at(whole[asset])], state[_at(some[asset])]
        if whole[asset] != some[asset]:  # it stands where it was first reached
            if port[vertex] == 0:
                if of_some >= 0 and of_some >> 1 < of_whole >> 1:
                    continue
            elif of_whole >= 0 and of_whole >> 1 <= of_some >> 1:
                continue
        if start > 0 and (asset in (start, around) or container[asset] == start):
            continue
        assets[n] = asset
        fewest[n] = state[vertex] >> 1
        partly[n] = downstream and of_whole < 0
        n += 1
    return assets[:n].copy(), fewest[:n].copy(), partly[:n].copy()


@_compiled
def assets_reached(
    assets: int,
    state: Any,
    start: int,
    downstream: bool,
    kind: Any,
    container: Any,
    whole: Any,
    some: Any,
    alias: int,
) -> tuple[Any, Any, Any]:
    """Like `assets_among`, by number: it looks at all `assets` in the order in which they lie, which for many is faster."""
    found = np.empty(assets, np.int32)
    fewest = np.empty(assets, np.int32)
    partly = np.empty(assets, np.bool_)
    around = container[start] if start > 0 else -1
    n = 0
    for asset in range(1, assets):
        of_whole, of_some = state[_at(whole[asset])], state[_at(some[asset])]
        if (of_whole < 0 and of_some < 0) or kind[asset] == alias:
            continue
        if start > 0 and (asset in (start, around) or container[asset] == start):
            continue
        found[n] = asset
        fewest[n] = (of_some if of_whole < 0 or 0 <= of_some < of_whole else of_whole) >> 1
        partly[n] = downstream and of_whole < 0
        n += 1
    return found[:n].copy(), fewest[:n].copy(), partly[:n].copy()


@_compiled
def are_reached(assets: Any, state: Any, whole: Any, some: Any) -> Any:
    found = np.empty(len(assets), np.bool_)
    for place in range(len(assets)):
        asset = _at(assets[place])
        found[place] = state[_at(whole[asset])] >= 0 or state[_at(some[asset])] >= 0
    return found


@_compiled
def labelled(
    assets: Any,
    past: bool,
    at: int,
    revision: int,
    bounds: Any,
    far: Any,
    row: Any,
    flags: Any,
    following: Any,
    base: int,
    count: int,
    times: Any,
    far_of: Any,
    container: Any,
    owners_of: Any,
) -> tuple[Any, Any, int]:
    """Of each asset its label, -1 for none, and the owners: of its label, else of its container's; 0 for none.

    Also how many parts have no label at all.
    """
    labels = np.empty(len(assets), np.int32)
    owners = np.zeros(len(assets), np.int32)
    unsaid = 0
    for index in range(len(assets)):
        asset = assets[index]
        place = asset
        while True:
            found: Any = np.int32(-1)
            if place < len(bounds):
                for entry in range(_at(bounds[_at(place), 0]), _at(bounds[_at(place), 2 if past else 1])):
                    if not (past or flags[entry] & 16) or _holds(times, row[entry], at, revision):
                        found = far[entry]
                recent = bounds[_at(place), 3]
                while recent >= 0 and recent < count:
                    if _holds(times, recent, at, revision):
                        found = far_of[recent]
                    recent = following[recent - base]
            if found >= 0:
                owners[index] = owners_of[_at(found)]
            around = container[_at(asset)]
            if place == asset:
                labels[index] = found
                unsaid += found < 0 and around > 0
            if owners[index] or place == around or around <= 0:
                break
            place = around
    return labels, owners, unsaid


@_compiled
def newest_parts(
    containers: Any,
    first_part: Any,
    next_part: Any,
    assets: int,
    at: int,
    revision: int,
    bounds: Any,
    row: Any,
    following: Any,
    base: int,
    count: int,
    times: Any,
) -> tuple[Any, Any]:
    """Of each container the parts asserted then that are so since the latest instant, and the containers without any.

    That instant is as early as was then believed, whatever came between.
    """
    newest = np.empty(assets, np.int32)
    without = np.empty(len(containers), np.int32)
    n = unasserted = 0
    for container in containers:
        begin = n
        latest: Any = np.int64(0)
        part = first_part[_at(container)]
        while 0 < part < assets:
            born = FOREVER
            holds = False
            if part < len(bounds):
                for entry in range(_at(bounds[_at(part), 0]), _at(bounds[_at(part), 2])):
                    told = _at(row[entry])
                    if times[told, 2] <= revision < times[told, 3]:
                        born = min(born, times[told, 0])
                        holds |= times[told, 0] <= at < times[told, 1]
                recent = bounds[_at(part), 3]
                while recent >= 0 and recent < count:
                    if times[recent, 2] <= revision < times[recent, 3]:
                        born = min(born, times[recent, 0])
                        holds |= times[recent, 0] <= at < times[recent, 1]
                    recent = following[recent - base]
            if holds and (n == begin or born >= latest):
                if n > begin and born > latest:
                    n = begin
                latest = born
                newest[n] = part
                n += 1
            part = next_part[_at(part)]
        if n == begin:
            without[unasserted] = container
            unasserted += 1
    return newest[:n].copy(), without[:unasserted].copy()


@_compiled
def lead_to(
    vertices: Any,
    wanted: Any,
    past: bool,
    at: int,
    revision: int,
    bounds: Any,
    far: Any,
    row: Any,
    flags: Any,
    following: Any,
    base: int,
    count: int,
    times: Any,
    far_of: Any,
    step: Any,
    asset_of: Any,
    kind: Any,
) -> Any:
    """Which of `vertices` a row leaves for an asset of a kind that is `wanted`."""
    found = np.zeros(len(vertices), np.bool_)
    for index in range(len(vertices)):
        vertex = _at(vertices[index])
        if vertex >= len(bounds):
            continue
        for entry in range(_at(bounds[vertex, 0]), _at(bounds[vertex, 2 if past else 1])):
            if (
                flags[entry] & 15
                and wanted[kind[_at(asset_of[_at(far[entry])])]]
                and (not (past or flags[entry] & 16) or _holds(times, row[entry], at, revision))
            ):
                found[index] = True
                break
        recent = bounds[vertex, 3]
        while not found[index] and recent >= 0 and recent < count:
            found[index] = (
                step[recent] != 0 and wanted[kind[asset_of[far_of[recent]]]] and _holds(times, recent, at, revision)
            )
            recent = following[recent - base]
    return found


@_compiled
def soonest(assets: Any, whole: Any, some: Any, when: Any) -> Any:
    """Of each asset the least of its two vertices."""
    found = np.empty(len(assets), when.dtype)
    for index in range(len(assets)):
        asset = _at(assets[index])
        found[index] = min(when[_at(whole[asset])], when[_at(some[asset])])
    return found


@_compiled
def _has_flow(
    vertex: int,
    past: bool,
    at: int,
    revision: int,
    bounds: Any,
    row: Any,
    flags: Any,
    following: Any,
    base: int,
    count: int,
    times: Any,
    step: Any,
) -> bool:
    end = bounds[vertex, 2] if past else bounds[vertex, 1]
    for entry in range(bounds[vertex, 0], end):
        if flags[entry] & 1 and (not (past or flags[entry] & 16) or _holds(times, row[entry], at, revision)):
            return True
    recent = bounds[vertex, 3]
    while recent >= 0 and recent < count:
        if step[recent] & 1 and _holds(times, recent, at, revision):
            return True
        recent = following[recent - base]
    return False


@_compiled
def have_flows(
    assets: Any,
    whole: Any,
    some: Any,
    past: bool,
    at: int,
    revision: int,
    count: int,
    times: Any,
    step: Any,
    down_bounds: Any,
    down_row: Any,
    down_flags: Any,
    down_following: Any,
    up_bounds: Any,
    up_row: Any,
    up_flags: Any,
    up_following: Any,
    base: int,
) -> Any:
    """Whether a flow stands at either port of each asset."""
    found = np.zeros(len(assets), np.bool_)
    for index in range(len(assets)):
        asset = assets[index]
        for vertex in (whole[asset], some[asset]):
            found[index] |= _has_flow(
                vertex, past, at, revision, down_bounds, down_row, down_flags, down_following, base, count, times, step
            ) or _has_flow(
                vertex, past, at, revision, up_bounds, up_row, up_flags, up_following, base, count, times, step
            )
    return found


@_compiled
def gathered(places: Any, bounds: Any, row: Any, following: Any, base: int, count: int) -> Any:
    """All rows below `count` of `places`, in their order; of each the compressed ones first."""
    total = 0
    for place in places:
        if place < len(bounds):
            total += bounds[place, 2] - bounds[place, 0]
            recent = bounds[place, 3]
            while recent >= 0 and recent < count:
                total += 1
                recent = following[recent - base]
    found = np.empty(total, np.int32)
    n = 0
    for place in places:
        if place < len(bounds):
            for entry in range(bounds[place, 0], bounds[place, 2]):
                found[n] = row[entry]
                n += 1
            recent = bounds[place, 3]
            while recent >= 0 and recent < count:
                found[n] = recent
                n += 1
                recent = following[recent - base]
    return found


@_compiled
def grouped(
    by: Any, far_of: Any, step: Any, times: Any, live: Any, now: int, skipped: int, forever: int, bounds: Any
) -> Any:
    """Sorts rows by place: the entries' `far`, `row` and `flags`; fills in `bounds`, which is all zero.

    Within a place the `live` rows come first, in each part by number. `skipped` is a place to leave out, -1 for none.
    """
    for number in range(len(live)):
        place = by[number]
        if place != skipped:
            bounds[place, 2] += 1
            bounds[place, 1] += live[number]
    total = 0
    for place in range(len(bounds)):
        every = bounds[place, 2]
        bounds[place, 0] = total  # these two move on, to where the live ones end and to where all do
        bounds[place, 1] += total
        total += every
    far = np.empty(total, np.int32)
    row = np.empty(total, np.int32)
    flags = np.empty(total, np.uint8)
    for number in range(len(live)):
        place = by[number]
        if place == skipped:
            continue
        moving = 0 if live[number] else 1
        entry = bounds[place, moving]
        bounds[place, moving] += 1
        far[entry] = far_of[number]
        row[entry] = number
        doubtful = times[number, 0] > now or times[number, 1] != forever
        flags[entry] = step[number] | (16 if doubtful else 0)
    start = 0
    for place in range(len(bounds)):
        end = bounds[place, 1]
        bounds[place, 2] = end
        bounds[place, 1] = bounds[place, 0]
        bounds[place, 0] = start
        bounds[place, 3] = -1
        start = end
    return far, row, flags


@_compiled
def held(at: int, revision: int, bounds: Any, far: Any, row: Any, flags: Any, times: Any) -> Any:
    """Like these entries, but of one moment: `bounds`, `far`, `row`, `flags` of what held then, nothing to be checked.

    The rows since are chained as before, and still are to be checked.
    """
    total = 0
    for entry in range(len(row)):
        total += _holds(times, row[entry], at, revision)
    kept = np.zeros_like(bounds)
    far_kept = np.empty(total, np.int32)
    row_kept = np.empty(total, np.int32)
    flags_kept = np.empty(total, np.uint8)
    n = 0
    for place in range(len(bounds)):
        kept[place, 0] = n
        for entry in range(bounds[place, 0], bounds[place, 2]):
            if _holds(times, row[entry], at, revision):
                far_kept[n] = far[entry]
                row_kept[n] = row[entry]
                flags_kept[n] = flags[entry] & 15
                n += 1
        kept[place, 1] = kept[place, 2] = n
        kept[place, 3] = bounds[place, 3]
    return kept, far_kept, row_kept, flags_kept


@_compiled
def places_in(order: Any) -> Any:
    """By number from 0: the place of 1 to n in `order`, which lists each of them once."""
    found = np.zeros(len(order) + 1, np.int32)
    for place in range(len(order)):
        found[_at(order[place])] = place
    return found


@_compiled
def chained(first: int, places: Any, skipped: int, bounds: Any, following: Any, last: Any, base: int) -> None:
    """Appends the rows from `first` on, whose `places` these are, to the chains of their places."""
    for index in range(len(places)):
        place = places[index]
        if place == skipped:
            continue
        before = last[place]
        if before < 0:
            bounds[place, 3] = first + index
        else:
            following[before - base] = first + index
        last[place] = first + index


@_compiled
def _tells(number: int, other: int, another: int, far_of: Any, via: Any, step: Any, times: Any, forever: int) -> bool:
    ends = far_of[number] == other or far_of[number] == another
    return bool(ends and step[number] & 1 and via[number] == 0 and times[number, 3] == forever)


@_compiled
def told_already(
    sources: Any,
    targets: Any,
    whole: Any,
    some: Any,
    down_bounds: Any,
    down_row: Any,
    down_following: Any,
    up_bounds: Any,
    up_row: Any,
    up_following: Any,
    base: int,
    source_of: Any,
    target_of: Any,
    via: Any,
    step: Any,
    times: Any,
    forever: int,
) -> Any:
    """For each pair of assets whether a flow between them, via no job, is believed now."""
    found = np.zeros(len(sources), np.bool_)
    for index in range(len(sources)):
        leave = whole[sources[index]], some[sources[index]]
        reach = whole[targets[index]], some[targets[index]]
        out = down_bounds[leave[0], 2] - down_bounds[leave[0], 0] + down_bounds[leave[1], 2] - down_bounds[leave[1], 0]
        into = up_bounds[reach[0], 2] - up_bounds[reach[0], 0] + up_bounds[reach[1], 2] - up_bounds[reach[1], 0]
        if out < into:
            for vertex in leave:
                for entry in range(down_bounds[vertex, 0], down_bounds[vertex, 2]):
                    found[index] |= _tells(down_row[entry], reach[0], reach[1], target_of, via, step, times, forever)
                recent = down_bounds[vertex, 3]
                while recent >= 0:
                    found[index] |= _tells(recent, reach[0], reach[1], target_of, via, step, times, forever)
                    recent = down_following[recent - base]
        else:
            for vertex in reach:
                for entry in range(up_bounds[vertex, 0], up_bounds[vertex, 2]):
                    found[index] |= _tells(up_row[entry], leave[0], leave[1], source_of, via, step, times, forever)
                recent = up_bounds[vertex, 3]
                while recent >= 0:
                    found[index] |= _tells(recent, leave[0], leave[1], source_of, via, step, times, forever)
                    recent = up_following[recent - base]
    return found


@_compiled
def parts_among(containers: Any, first_part: Any, next_part: Any, count: int) -> Any:
    """The parts below `count` of all `containers`, in their order."""
    total = 0
    for container in containers:
        part = first_part[container]
        while 0 < part < count:
            total += 1
            part = next_part[part]
    found = np.empty(total, np.int32)
    n = 0
    for container in containers:
        part = first_part[container]
        while 0 < part < count:
            found[n] = part
            n += 1
            part = next_part[part]
    return found


@_compiled
def ordered(assets: Any, hops: Any, order: Any) -> Any:
    """The places of assets by hops and then as `order` lists them, without comparing: `order` and the hops tell the time."""
    place_of = np.full(len(order) + 1, -1, np.int32)
    after = np.zeros(hops.max() + 2, np.int32)
    for place in range(len(assets)):
        place_of[_at(assets[place])] = place
        after[_at(hops[place] + 1)] += 1
    after = np.cumsum(after)
    places = np.empty_like(assets)
    for asset in order:
        place = place_of[_at(asset)]
        if place >= 0:
            far = _at(hops[_at(place)])
            places[_at(after[far])] = place
            after[far] += 1
    return places


@_compiled
def taken(places: Any, first: Any, second: Any, third: Any, fourth: Any, fifth: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Those at `places` of each of these columns."""
    taken_first, taken_second, taken_third = np.empty_like(first), np.empty_like(second), np.empty_like(third)
    taken_fourth, taken_fifth = np.empty_like(fourth), np.empty_like(fifth)
    for index in range(len(places)):
        place = _at(places[index])
        taken_first[index] = first[place]
        taken_second[index] = second[place]
        taken_third[index] = third[place]
        taken_fourth[index] = fourth[place]
        taken_fifth[index] = fifth[place]
    return taken_first, taken_second, taken_third, taken_fourth, taken_fifth


@_compiled
def packed(assets: Any, hops: Any, rank: Any) -> Any:
    """Hops and rank of each, in numbers that order as these do; none if one has no rank."""
    found = np.empty(len(assets), np.int64)
    for index in range(len(assets)):
        if assets[index] >= len(rank):
            return found[:0]
        found[index] = np.int64(hops[index]) << 32 | np.int64(rank[_at(assets[index])])
    return found


@_compiled
def holding(rows: Any, at: int, revision: int, count: int, times: Any, step: Any) -> Any:
    """Those of `rows` that held then, are below `count`, and that some walk takes."""
    found = np.empty_like(rows)
    n = 0
    for row in rows:
        if row < count and step[_at(row)] != 0 and _holds(times, _at(row), at, revision):
            found[n] = row
            n += 1
    return found[:n].copy()
