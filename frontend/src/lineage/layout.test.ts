import { describe, expect, test } from 'vitest';
import { type LayoutEdge, type LayoutNode, layoutOf } from './layout';

/** A repeatable stream of numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function example(seed: number, size: number): { nodes: LayoutNode[]; edges: LayoutEdge[] } {
  const next = numbers(seed);
  const nodes: LayoutNode[] = Array.from({ length: size }, (_, index) => ({
    id: `n${index}`,
    width: 200,
    height: 40 + Math.floor(next() * 160),
    side: index === 0 ? 0 : next() < 0.4 ? -1 : 1,
  }));
  const edges: LayoutEdge[] = [];
  for (let index = 1; index < size; index += 1) {
    for (let count = 0; count < 2; count += 1) {
      const other = Math.floor(next() * size);
      const [source, target] = next() < 0.9 === other < index ? [other, index] : [index, other];
      if (source !== target)
        edges.push({ source: `n${source}`, target: `n${target}`, sourceY: 20, targetY: 20 });
    }
  }
  return { nodes, edges };
}

const cases = [1, 2, 3, 4, 5].flatMap((seed) => [5, 40, 400].map((size) => ({ seed, size })));

describe.each(cases)('a graph of $size nodes (seed $seed)', ({ seed, size }) => {
  const { nodes, edges } = example(seed, size);
  const layout = layoutOf(nodes, edges);

  test('no two nodes overlap', () => {
    const boxes = nodes.map((node) => {
      const at = layout.positions.get(node.id);
      if (!at) throw new Error(`${node.id} has no place`);
      return { ...node, ...at };
    });
    const overlapping = boxes.flatMap((a, place) =>
      boxes
        .slice(place + 1)
        .filter(
          (b) =>
            a.x < b.x + b.width &&
            b.x < a.x + a.width &&
            a.y < b.y + b.height &&
            b.y < a.y + a.height,
        )
        .map((b) => [a.id, b.id]),
    );
    expect(overlapping).toEqual([]);
  });

  test('causes stand left of the start, effects right of it', () => {
    for (const { id, side } of nodes)
      expect(Math.sign(layout.ranks.get(id) ?? Number.NaN)).toBe(side);
  });

  test('every edge runs from its source to its target', () => {
    for (const [place, edge] of edges.entries()) {
      const route = layout.routes[place] ?? [];
      const [source, target] = [
        layout.positions.get(edge.source),
        layout.positions.get(edge.target),
      ];
      expect(route[0]?.y).toBe((source?.y ?? 0) + edge.sourceY);
      expect(route.at(-1)?.y).toBe((target?.y ?? 0) + edge.targetY);
    }
  });

  test('the same again gives the same picture', () => {
    expect(layoutOf(nodes, edges)).toEqual(layout);
  });
});

test('without cycles every edge leads to the right', () => {
  const { nodes, edges } = example(7, 120);
  const place = new Map(nodes.map(({ id }, index) => [id, index]));
  const right = nodes.map((node) => ({
    ...node,
    side: node.id === 'n0' ? (0 as const) : (1 as const),
  }));
  const forward = edges.map((edge) =>
    (place.get(edge.source) ?? 0) < (place.get(edge.target) ?? 0)
      ? edge
      : { ...edge, source: edge.target, target: edge.source },
  );
  const { ranks } = layoutOf(right, forward);
  for (const { source, target } of forward)
    expect(ranks.get(source)).toBeLessThan(ranks.get(target) ?? 0);
});

test('a rank too high for the picture wraps', () => {
  const nodes: LayoutNode[] = Array.from({ length: 200 }, (_, index) => ({
    id: `n${index}`,
    width: 200,
    height: 60,
    side: index === 0 ? 0 : 1,
  }));
  const edges = nodes
    .slice(1)
    .map(({ id }) => ({ source: 'n0', target: id, sourceY: 30, targetY: 30 }));
  const { width, height } = layoutOf(nodes, edges);
  expect(height).toBeLessThan(2_500);
  expect(width).toBeGreaterThan(1_000);
});
