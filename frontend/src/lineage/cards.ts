/** What is drawn as one card: an asset with its parts inside, or, of many assets, a group. */
import { type Answer, type Arrow, containerOf, type Item, pairOf, type Side } from './model';

/** More than so many assets are drawn as groups by kind and owner. */
export const MOST_CARDS = 400;
const ROWS_AT_MOST = 8;
const FEW_ROWS = 2;

export interface Card {
  id: string;
  side: Side | 'start';
  /** The asset of the card; null for a group. */
  item: Item | null;
  /** The parts shown inside, in order. */
  parts: Item[];
  /** How many parts are folded away. */
  folded: number;
  group: Group | null;
}

export interface Group {
  kind: Item['kind'];
  /** Empty: nobody. */
  owner: string;
  keys: string[];
  /** How many columns of groups from the start: kinds stand beneath each other. */
  distance: number;
}

export interface Drawing {
  cards: Card[];
  arrows: Arrow[];
  /** The card in which an asset of the answer is to be found. */
  cardOf: Map<string, string>;
}

/** One card an asset; parts whose container is shown too stand inside its card. */
export function cardsOf(
  answer: Answer,
  items: readonly Item[],
  arrows: readonly Arrow[],
  start: Item,
  unfolded: ReadonlySet<string>,
  keep: ReadonlySet<string>,
): Drawing {
  const shown = new Map(items.map((item) => [item.key, item]));
  const cards = new Map<string, Card>();
  const card = (item: Item, side: Card['side']): Card => {
    const made: Card = { id: item.key, side, item, parts: [], folded: 0, group: null };
    cards.set(item.key, made);
    return made;
  };
  card(start, 'start');
  const inside: [Item, string][] = [];
  for (const item of items) {
    const container = shown.get(containerOf(item.key) ?? '');
    if (container && container.side === item.side) inside.push([item, container.key]);
    else card(item, item.side);
  }
  for (const [item, container] of inside) cards.get(container)?.parts.push(item);

  const cardOf = new Map<string, string>();
  const joined = new Set(arrows.flatMap(({ source, target }) => [source, target]));
  for (const each of cards.values()) {
    cardOf.set(each.id, each.id);
    for (const part of each.parts) cardOf.set(part.key, each.id);
    each.parts.sort((a, b) => (a.title < b.title ? -1 : 1));
    if (!unfolded.has(each.id)) fold(each, joined, keep);
  }
  cardOf.set(answer.start, answer.start);
  const visible = new Set(
    [...cards.values()].flatMap(({ id, parts }) => [id, ...parts.map((part) => part.key)]),
  );
  const end = (key: string) => (visible.has(key) ? key : (cardOf.get(key) ?? key));
  return {
    cards: [...cards.values()],
    arrows: merged(arrows, end),
    cardOf,
  };
}

/** Leaves the parts that something flows to or from by themselves, and of those not too many. */
function fold(card: Card, joined: ReadonlySet<string>, keep: ReadonlySet<string>): void {
  const telling = card.parts.filter((part) => joined.has(part.key));
  const few = card.parts.length <= FEW_ROWS ? card.parts : telling;
  const shown = few.length > ROWS_AT_MOST ? few.slice(0, ROWS_AT_MOST - 1) : few;
  const kept = card.parts.filter((part) => shown.includes(part) || keep.has(part.key));
  card.folded = card.parts.length - kept.length;
  card.parts = kept;
}

/** One card for all assets of a side, kind and owner. */
export function groupsOf(items: readonly Item[], arrows: readonly Arrow[], start: Item): Drawing {
  const cards = new Map<string, Card>();
  const cardOf = new Map<string, string>([[start.key, start.key]]);
  cards.set(start.key, {
    id: start.key,
    side: 'start',
    item: start,
    parts: [],
    folded: 0,
    group: null,
  });
  const distances = distancesOf(items);
  for (const item of items) {
    const owner = item.owners[0] ?? '';
    const id = `group ${item.side} ${item.kind} ${owner}`;
    const known = cards.get(id);
    if (known?.group) known.group.keys.push(item.key);
    else {
      const distance = distances.get(`${item.side} ${item.kind}`) ?? 1;
      const group = { kind: item.kind, owner, keys: [item.key], distance };
      cards.set(id, { id, side: item.side, item: null, parts: [], folded: 0, group });
    }
    cardOf.set(item.key, id);
  }
  return {
    cards: [...cards.values()],
    arrows: merged(arrows, (key) => cardOf.get(key) ?? key),
    cardOf,
  };
}

/** The kinds of a side in the order of their mean distance, counted from 1. */
function distancesOf(items: readonly Item[]): Map<string, number> {
  const hops = new Map<string, { sum: number; size: number }>();
  for (const { side, kind, hops: far } of items) {
    const mean = hops.get(`${side} ${kind}`) ?? { sum: 0, size: 0 };
    hops.set(`${side} ${kind}`, { sum: mean.sum + far, size: mean.size + 1 });
  }
  const distances = new Map<string, number>();
  for (const side of ['up', 'down']) {
    [...hops]
      .filter(([kind]) => kind.startsWith(`${side} `))
      .sort(([, a], [, b]) => a.sum / a.size - b.sum / b.size)
      .forEach(([kind], place) => {
        distances.set(kind, place + 1);
      });
  }
  return distances;
}

function merged(arrows: readonly Arrow[], end: (key: string) => string): Arrow[] {
  const found = new Map<string, Arrow>();
  for (const arrow of arrows) {
    const moved = { ...arrow, source: end(arrow.source), target: end(arrow.target) };
    if (moved.source === moved.target) continue;
    const known = found.get(pairOf(moved));
    if (!known) found.set(pairOf(moved), moved);
    else {
      known.built &&= moved.built;
      known.through &&= moved.through;
    }
  }
  return [...found.values()];
}
