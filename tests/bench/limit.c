/* The same breadth-first search in C over the same arrays: what the machine allows, for comparison in one run.
 *
 * Steps between ports cost nothing, flows cost one hop, so the search is 0-1: a level's steps are followed before its
 * flows. Scratch memory is put back as it was, so a small answer pays nothing for a large graph.
 */
#include <stdint.h>

enum { FLOW = 1, UNREACHED = -1, WAITING = -2 };

struct walk {
    const int64_t *offsets;
    const int32_t *far;
    const uint8_t *step;
    const int32_t *asset_of; /* the last asset is nobody */
    int32_t *hops;           /* of each vertex, UNREACHED between walks */
    int32_t *order;          /* vertices reached, nearest first */
    int32_t *next;
    uint8_t *seen;           /* of each asset, 0 between walks; 1 for nobody */
    int32_t *assets;         /* the answer, nearest first */
    int32_t *distances;
};

static int64_t reached(const struct walk *w, int32_t start, uint8_t walks)
{
    int64_t count = 0, place = 0, waiting = 0;
    int32_t distance = 0;
    w->hops[start] = 0;
    w->order[count++] = start;
    for (;;) {
        for (; place < count; place++) {
            const int32_t from = w->order[place];
            for (int64_t row = w->offsets[from]; row < w->offsets[from + 1]; row++) {
                const int32_t to = w->far[row], known = w->hops[to];
                if (known >= 0 || !(w->step[row] & walks))
                    continue;
                if (!(w->step[row] & FLOW)) {
                    w->hops[to] = distance;
                    w->order[count++] = to;
                } else if (known == UNREACHED) {
                    w->hops[to] = WAITING; /* a step of this level may still be nearer */
                    w->next[waiting++] = to;
                }
            }
        }
        if (!waiting)
            return count;
        distance++;
        for (int64_t each = 0; each < waiting; each++)
            if (w->hops[w->next[each]] == WAITING) {
                w->hops[w->next[each]] = distance;
                w->order[count++] = w->next[each];
            }
        waiting = 0;
    }
}

/* How many assets are reached from a vertex; `left_out` are the start's own. */
int64_t search(const struct walk *w, int32_t start, uint8_t walks, const int32_t *left_out, int64_t many)
{
    const int64_t count = reached(w, start, walks);
    int64_t found = 0;
    for (int64_t each = 0; each < many; each++)
        w->seen[left_out[each]] = 1;
    for (int64_t place = 0; place < count; place++) {
        const int32_t vertex = w->order[place], asset = w->asset_of[vertex];
        if (!w->seen[asset]) {
            w->seen[asset] = 1;
            w->assets[found] = asset;
            w->distances[found++] = w->hops[vertex];
        }
        w->hops[vertex] = UNREACHED;
    }
    for (int64_t place = 0; place < found; place++)
        w->seen[w->assets[place]] = 0;
    for (int64_t each = 0; each < many; each++)
        w->seen[left_out[each]] = 0;
    return found;
}

/* Counts by a code of each asset, for instance its kind or its owner. */
void count_by(const int32_t *assets, int64_t count, const int32_t *code, int64_t *counts)
{
    for (int64_t place = 0; place < count; place++)
        counts[code[assets[place]]]++;
}
