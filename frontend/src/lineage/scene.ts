/** Cards with sizes and places, and arrows with routes: all that the renderer needs to know. */
import type { Card, Drawing } from './cards';
import { layoutOf, type Point } from './layout';
import { type Arrow, pairOf } from './model';

export const CARD_WIDTH = 220;
export const HEAD_HEIGHT = 58;
export const ROW_HEIGHT = 26;
const FOOT = 6;

export interface Spot {
  /** The key of an asset, or the id of a group. */
  id: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface PlacedCard extends Spot {
  card: Card;
}

export interface PlacedArrow {
  arrow: Arrow;
  route: Point[];
}

export interface Scene {
  cards: PlacedCard[];
  arrows: PlacedArrow[];
  /** All that can be selected, heads of cards and parts alike, in reading order. */
  spots: Map<string, Spot>;
  cardOf: ReadonlyMap<string, string>;
  width: number;
  height: number;
}

export function sceneOf({ cards, arrows, cardOf }: Drawing): Scene {
  const home = new Map<string, { card: Card; top: number }>();
  for (const card of cards) {
    home.set(card.id, { card, top: HEAD_HEIGHT / 2 });
    card.parts.forEach((part, place) => {
      home.set(part.key, { card, top: HEAD_HEIGHT + (place + 0.5) * ROW_HEIGHT });
    });
  }
  const joined = arrows.flatMap((arrow) => {
    const source = home.get(arrow.source);
    const target = home.get(arrow.target);
    return source && target && source.card !== target.card ? [{ arrow, source, target }] : [];
  });
  const layout = layoutOf(
    cards.map((card) => ({
      id: card.id,
      width: CARD_WIDTH,
      height: heightOf(card),
      side: card.side === 'start' ? 0 : card.side === 'up' ? -1 : 1,
      distance: card.group?.distance,
    })),
    joined.map(({ source, target }) => ({
      source: source.card.id,
      target: target.card.id,
      sourceY: source.top,
      targetY: target.top,
    })),
  );
  const placed = cards.map((card) => {
    const { x, y } = layout.positions.get(card.id) ?? { x: 0, y: 0 };
    return { id: card.id, x, y, width: CARD_WIDTH, height: heightOf(card), card };
  });
  placed.sort((a, b) => a.x - b.x || a.y - b.y);
  const spots = new Map<string, Spot>();
  for (const { card, x, y, width } of placed) {
    spots.set(card.id, { id: card.id, x, y, width, height: HEAD_HEIGHT });
    card.parts.forEach((part, place) => {
      const top = y + HEAD_HEIGHT + place * ROW_HEIGHT;
      spots.set(part.key, { id: part.key, x, y: top, width, height: ROW_HEIGHT });
    });
  }
  return {
    cards: placed,
    arrows: joined.map(({ arrow }, index) => ({ arrow, route: layout.routes[index] ?? [] })),
    spots,
    cardOf,
    width: layout.width,
    height: layout.height,
  };
}

export function heightOf(card: Card): number {
  const rows = card.parts.length + (card.folded > 0 ? 1 : 0);
  return HEAD_HEIGHT + (rows > 0 ? rows * ROW_HEIGHT + FOOT : 0);
}

export type Step = 'left' | 'right' | 'up' | 'down';

/** Where an arrow key leads from a spot: along the flow if there is one, else to what is nearest that way. */
export function neighbour(scene: Scene, from: string, step: Step): string | null {
  const here = scene.spots.get(from);
  if (!here) return null;
  const sideways = step === 'left' || step === 'right';
  const linked = new Set<string>();
  for (const { arrow } of scene.arrows) {
    if (step === 'right' && arrow.source === from) linked.add(arrow.target);
    if (step === 'left' && arrow.target === from) linked.add(arrow.source);
  }
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const there of scene.spots.values()) {
    const [dx, dy] = [there.x - here.x, middle(there) - middle(here)];
    const ahead = { left: -dx, right: dx, up: -dy, down: dy }[step];
    if (there.id === from || ahead <= 0 || (!sideways && dx !== 0)) continue;
    const cost = ahead + (sideways ? 2 * Math.abs(dy) : 0) - (linked.has(there.id) ? 1e6 : 0);
    if (cost < least) [best, least] = [there.id, cost];
  }
  return best;
}

const middle = (spot: Spot) => spot.y + spot.height / 2;

/** The arrows of the scene that a way through these assets takes, whatever is hidden or folded. */
export function wayIn(scene: Scene, keys: readonly string[]): string[] {
  const drawn = keys.flatMap((key) => {
    const spot = scene.spots.has(key) ? key : scene.cardOf.get(key);
    return spot !== undefined && scene.spots.has(spot) ? [spot] : [];
  });
  const steps = drawn.filter((key, place) => key !== drawn[place - 1]);
  return steps.slice(1).map((target, place) => pairOf({ source: steps[place] ?? '', target }));
}
