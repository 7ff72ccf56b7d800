/**
 * A layered layout: causes to the left, the start, effects to the right.
 *
 * Cycles are broken where a depth-first search meets itself, ranks are longest paths from the start, the order within a
 * rank comes from sweeps over barycentres, heights from the isotonic regression of what neighbours wish for. Ranks too
 * high for the picture wrap into several columns. The same input always gives the same picture.
 */

export interface LayoutNode {
  id: string;
  width: number;
  height: number;
  /** -1: left of the start, 0: the start itself, 1: right of it. */
  side: -1 | 0 | 1;
  /** How far from the start it stands; absent: as its edges say. */
  distance?: number | undefined;
}

export interface LayoutEdge {
  source: string;
  target: string;
  /** Where the edge meets its ends, below their upper rims. */
  sourceY: number;
  targetY: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Layout {
  positions: Map<string, Point>;
  ranks: Map<string, number>;
  /** For each edge given, in order: from the source's rim to the target's. */
  routes: Point[][];
  width: number;
  height: number;
}

const GAP_X = 58;
const GAP_IN_RANK = 20;
const GAP_Y = 14;
const LANE = 12;
const SWEEPS = 8;
const ASPECT = 1.7;
const LEAST_HEIGHT = 560;

/** A node, or the place where a long edge crosses a rank. */
interface Cell {
  id: string;
  width: number;
  height: number;
  rank: number;
  isLane: boolean;
  x: number;
  y: number;
  before: Link[];
  after: Link[];
}

interface Link {
  cell: Cell;
  /** Where the link meets this cell, and the other one. */
  here: number;
  there: number;
}

export function layoutOf(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[]): Layout {
  const ranks = ranksOf(nodes, edges);
  const cells = new Map<string, Cell>();
  for (const node of nodes) {
    const rank = ranks.get(node.id) ?? 0;
    const { id, width, height } = node;
    cells.set(id, { id, width, height, rank, isLane: false, x: 0, y: 0, before: [], after: [] });
  }
  const lanes = edges.map((edge) => link(edge, cells));
  const layers = layersOf([...cells.values(), ...lanes.flat()]);
  order(layers);
  const columns = place(layers, nodes);
  const { width, height } = settle(layers, columns);
  return {
    positions: new Map(nodes.map(({ id }) => [id, pointOf(cells, id)])),
    ranks,
    routes: edges.map((edge, index) => route(edge, cells, lanes[index] ?? [], columns)),
    width,
    height,
  };
}

// --- ranks

function ranksOf(nodes: readonly LayoutNode[], edges: readonly LayoutEdge[]): Map<string, number> {
  const side = new Map(nodes.map((node) => [node.id, node.side]));
  const ranks = new Map<string, number>();
  for (const node of nodes) if (node.side === 0) ranks.set(node.id, 0);
  for (const sign of [1, -1] as const) {
    const [near, far] =
      sign === 1 ? (['source', 'target'] as const) : (['target', 'source'] as const);
    const onward = new Map<string, string[]>();
    for (const edge of edges) {
      const from = side.get(edge[near]);
      if (side.get(edge[far]) !== sign || (from !== sign && from !== 0)) continue;
      const known = onward.get(edge[near]);
      if (known) known.push(edge[far]);
      else onward.set(edge[near], [edge[far]]);
    }
    const begin = nodes.filter((node) => node.side === 0).map((node) => node.id);
    const mine = nodes.filter((node) => node.side === sign).map((node) => node.id);
    const depth = longestPaths(begin, mine, onward);
    for (const node of nodes) {
      if (node.side === sign) ranks.set(node.id, sign * (node.distance ?? depth.get(node.id) ?? 1));
    }
  }
  return ranks;
}

/** How far each node is from the first ones, by the longest way that does not meet itself; at least 1. */
function longestPaths(
  first: readonly string[],
  others: readonly string[],
  onward: ReadonlyMap<string, string[]>,
): Map<string, number> {
  const state = new Map<string, 'open' | 'done'>();
  const finished: string[] = [];
  const acyclic = new Map<string, string[]>();
  for (const root of [...first, ...others]) {
    if (state.has(root)) continue;
    const stack = [{ id: root, next: 0 }];
    state.set(root, 'open');
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const target = onward.get(top.id)?.[top.next];
      if (target === undefined) {
        state.set(top.id, 'done');
        finished.push(top.id);
        stack.pop();
        continue;
      }
      top.next += 1;
      if (state.get(target) === 'open') continue; // it would close a cycle
      const kept = acyclic.get(top.id);
      if (kept) kept.push(target);
      else acyclic.set(top.id, [target]);
      if (!state.has(target)) {
        state.set(target, 'open');
        stack.push({ id: target, next: 0 });
      }
    }
  }
  const depth = new Map(others.map((id) => [id, 1]));
  for (const id of finished.reverse()) {
    const here = depth.get(id) ?? 0;
    for (const target of acyclic.get(id) ?? []) {
      depth.set(target, Math.max(depth.get(target) ?? 0, here + 1));
    }
  }
  return depth;
}

// --- layers

/** Joins the ends of an edge, by a lane in each rank between them. */
function link(edge: LayoutEdge, cells: ReadonlyMap<string, Cell>): Cell[] {
  const source = cells.get(edge.source);
  const target = cells.get(edge.target);
  if (!source || !target) throw new Error(`An edge ends nowhere: ${edge.source} → ${edge.target}`);
  const forward = source.rank <= target.rank;
  const [first, firstY] = forward ? [source, edge.sourceY] : [target, edge.targetY];
  const [last, lastY] = forward ? [target, edge.targetY] : [source, edge.sourceY];
  if (first.rank === last.rank) return [];
  const lanes: Cell[] = [];
  let [before, y] = [first, firstY];
  for (let rank = first.rank + 1; rank < last.rank; rank += 1) {
    const id = `${edge.source} ${edge.target} ${rank}`;
    const lane: Cell = {
      id,
      width: 0,
      height: LANE,
      rank,
      isLane: true,
      x: 0,
      y: 0,
      before: [],
      after: [],
    };
    join(before, y, lane, LANE / 2);
    lanes.push(lane);
    [before, y] = [lane, LANE / 2];
  }
  join(before, y, last, lastY);
  return forward ? lanes : lanes.reverse();
}

function join(left: Cell, leftY: number, right: Cell, rightY: number): void {
  left.after.push({ cell: right, here: leftY, there: rightY });
  right.before.push({ cell: left, here: rightY, there: leftY });
}

function layersOf(cells: readonly Cell[]): Cell[][] {
  const byRank = new Map<number, Cell[]>();
  for (const cell of cells) {
    const layer = byRank.get(cell.rank);
    if (layer) layer.push(cell);
    else byRank.set(cell.rank, [cell]);
  }
  return [...byRank.entries()].sort(([a], [b]) => a - b).map(([, layer]) => layer);
}

function order(layers: Cell[][]): void {
  const spot = new Map<Cell, number>();
  const note = (layer: Cell[]) => {
    let y = 0;
    for (const cell of layer) {
      spot.set(cell, y + cell.height / 2);
      y += cell.height + GAP_Y;
    }
    for (const cell of layer) spot.set(cell, (spot.get(cell) ?? 0) - y / 2);
  };
  layers.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const layer of forward ? layers : [...layers].reverse()) {
      const wish = new Map(
        layer.map((cell) => {
          const links = forward ? cell.before : cell.after;
          const sum = links.reduce((total, each) => total + (spot.get(each.cell) ?? 0), 0);
          return [cell, links.length > 0 ? sum / links.length : (spot.get(cell) ?? 0)];
        }),
      );
      layer.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0));
      note(layer);
    }
  }
}

// --- places

interface Column {
  x: number;
  width: number;
}

/** Gives every cell its x; ranks that are too high for the whole wrap. Answers where each rank begins and ends. */
function place(layers: readonly Cell[][], nodes: readonly LayoutNode[]): Map<number, Column> {
  const area = nodes.reduce((sum, node) => sum + (node.width + GAP_X) * (node.height + GAP_Y), 0);
  const most = Math.max(LEAST_HEIGHT, Math.sqrt(area / ASPECT) * 1.4);
  const columns = new Map<number, Column>();
  let x = 0;
  for (const layer of layers) {
    const cards = layer.filter((cell) => !cell.isLane);
    const height = cards.reduce((sum, cell) => sum + cell.height + GAP_Y, 0);
    const ways = Math.max(1, Math.min(cards.length, Math.ceil(height / most)));
    const width = Math.max(0, ...cards.map((cell) => cell.width));
    cards.forEach((cell, index) => {
      cell.x = x + (index % ways) * (width + GAP_IN_RANK);
    });
    const whole = ways * width + (ways - 1) * GAP_IN_RANK;
    for (const cell of layer) if (cell.isLane) cell.x = x;
    columns.set(layer[0]?.rank ?? 0, { x, width: whole });
    x += whole + GAP_X;
  }
  return columns;
}

/** Gives every cell its y: near its neighbours, in order, none upon another. */
function settle(layers: readonly Cell[][], columns: ReadonlyMap<number, Column>) {
  const stacks = layers.map((layer) => {
    const lanes = layer.filter((cell) => cell.isLane);
    const ways = new Set(layer.filter((cell) => !cell.isLane).map((cell) => cell.x));
    if (ways.size <= 1) return [layer];
    return [lanes, ...[...ways].map((x) => layer.filter((cell) => !cell.isLane && cell.x === x))];
  });
  for (const stack of stacks.flat()) {
    let y = 0;
    for (const cell of stack) {
      cell.y = y;
      y += cell.height + gapBelow(cell);
    }
    for (const cell of stack) cell.y -= y / 2;
  }
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const stack of (forward ? stacks : [...stacks].reverse()).flat()) {
      spread(stack, (cell) => {
        const both = sweep >= SWEEPS - 2;
        const links = both ? [...cell.before, ...cell.after] : forward ? cell.before : cell.after;
        if (links.length === 0) return cell.y;
        return (
          links.reduce((sum, each) => sum + each.cell.y + each.there - each.here, 0) / links.length
        );
      });
    }
  }
  const all = stacks.flat(2);
  const top = Math.min(0, ...all.map((cell) => cell.y));
  for (const cell of all) cell.y = Math.round(cell.y - top);
  const height = Math.max(0, ...all.map((cell) => cell.y + cell.height));
  const width = Math.max(0, ...[...columns.values()].map((column) => column.x + column.width));
  return { width, height };
}

function gapBelow(cell: Cell): number {
  return cell.isLane ? 4 : GAP_Y;
}

/** The least squares solution that keeps order and gaps: pools of cells that push each other (isotonic regression). */
function spread(stack: readonly Cell[], wish: (cell: Cell) => number): void {
  let offset = 0;
  const pools: { sum: number; size: number; cells: [Cell, number][] }[] = [];
  for (const cell of stack) {
    const weight = cell.isLane ? 2 : 1;
    let pool = {
      sum: (wish(cell) - offset) * weight,
      size: weight,
      cells: [[cell, offset]] as [Cell, number][],
    };
    for (
      let above = pools.at(-1);
      above && above.sum / above.size >= pool.sum / pool.size;
      above = pools.at(-1)
    ) {
      pools.pop();
      pool = {
        sum: above.sum + pool.sum,
        size: above.size + pool.size,
        cells: [...above.cells, ...pool.cells],
      };
    }
    pools.push(pool);
    offset += cell.height + gapBelow(cell);
  }
  for (const { sum, size, cells } of pools)
    for (const [cell, below] of cells) cell.y = sum / size + below;
}

// --- edges

function route(
  edge: LayoutEdge,
  cells: ReadonlyMap<string, Cell>,
  lanes: readonly Cell[],
  columns: ReadonlyMap<number, Column>,
): Point[] {
  const source = cells.get(edge.source) as Cell;
  const target = cells.get(edge.target) as Cell;
  const forward = source.rank <= target.rank;
  const begin = { x: source.x + (forward ? source.width : 0), y: source.y + edge.sourceY };
  const isLoop = source.rank === target.rank;
  const end = { x: target.x + (forward && !isLoop ? 0 : target.width), y: target.y + edge.targetY };
  const between = lanes.flatMap((lane) => {
    const { x, width } = columns.get(lane.rank) as Column;
    const y = lane.y + LANE / 2;
    const across = [
      { x, y },
      { x: x + width, y },
    ];
    return forward ? across : across.reverse();
  });
  return [begin, ...between, end];
}

function pointOf(cells: ReadonlyMap<string, Cell>, id: string): Point {
  const { x, y } = cells.get(id) as Cell;
  return { x, y };
}
