/* The same breadth-first search in C over the same arrays: what the machine allows, for comparison in one run.
 *
 * Steps between ports cost nothing, flows cost one hop, so the search is 0-1: a level's steps are followed before its
 * flows. `hops` comes as -1 everywhere and is put back by `forget`, so a small answer pays nothing for a large graph.
 */
#include <stdint.h>

enum { FLOW = 1 };

/* Vertices reached, in the order of their hops; each once. `order` and `next` have room for all vertices. */
int64_t reach(const int64_t *offsets, const int32_t *far, const uint8_t *step, uint8_t walks,
              int32_t start, int32_t *hops, int32_t *order, int32_t *next)
{
    int64_t count = 0, level = 0, waiting = 0;
    int32_t distance = 0;
    hops[start] = 0;
    order[count++] = start;
    for (;;) {
        for (; level < count; level++) {
            const int32_t from = order[level];
            for (int64_t row = offsets[from]; row < offsets[from + 1]; row++) {
                const int32_t to = far[row];
                if (hops[to] >= 0 || !(step[row] & walks))
                    continue;
                if (step[row] & FLOW) {
                    if (hops[to] == -1)
                        next[waiting++] = to;
                    hops[to] = -2; /* may still be reached by steps of this level */
                } else {
                    hops[to] = distance;
                    order[count++] = to;
                }
            }
        }
        if (!waiting)
            return count;
        distance++;
        for (int64_t place = 0; place < waiting; place++)
            if (hops[next[place]] == -2) {
                hops[next[place]] = distance;
                order[count++] = next[place];
            }
        waiting = 0;
    }
}

void forget(const int32_t *order, int64_t count, int32_t *hops)
{
    for (int64_t place = 0; place < count; place++)
        hops[order[place]] = -1;
}

/* The assets of the vertices reached, each once, with the fewest hops; `seen` comes as zeros and is left so. */
int64_t assets_of(const int32_t *order, int64_t count, const int32_t *hops, const int32_t *asset_of,
                  const uint8_t *left_out, uint8_t *seen, int32_t *assets, int32_t *distances)
{
    int64_t found = 0;
    for (int64_t place = 0; place < count; place++) {
        const int32_t asset = asset_of[order[place]];
        if (seen[asset] || left_out[asset])
            continue;
        seen[asset] = 1;
        assets[found] = asset;
        distances[found++] = hops[order[place]];
    }
    for (int64_t place = 0; place < found; place++)
        seen[assets[place]] = 0;
    return found;
}

/* Counts by a code of each asset, for instance its kind or its owner. */
void count_by(const int32_t *assets, int64_t count, const int32_t *code, int64_t *counts)
{
    for (int64_t place = 0; place < count; place++)
        counts[code[assets[place]]]++;
}
