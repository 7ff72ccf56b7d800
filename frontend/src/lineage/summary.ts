/** What the headline says of an answer, in numbers. */
import type { AssetKind } from '../api/generated';
import { type Item, KINDS } from './model';

export interface Impact {
  deployments: number;
  consumers: number;
  /** Owners of the deployments and consumers above. */
  teams: number;
}

export interface Summary {
  total: number;
  now: Impact;
  next: Impact & { versions: number };
  historic: number;
  kinds: [AssetKind, number][];
  /** Owners of all assets. */
  teams: number;
}

export function summaryOf(items: readonly Item[]): Summary {
  const at = (when: Item['when']) => items.filter((item) => item.when === when);
  const next = at('NEXT_TRAINING');
  return {
    total: items.length,
    now: impactOf(at('NOW')),
    next: { ...impactOf(next), versions: count(next, 'MODEL_VERSION') },
    historic: at('HISTORIC').length,
    kinds: KINDS.map((kind): [AssetKind, number] => [kind, count(items, kind)]).filter(
      ([, n]) => n > 0,
    ),
    teams: ownersOf(items).size,
  };
}

function impactOf(items: readonly Item[]): Impact {
  const hit = items.filter((item) => item.kind === 'DEPLOYMENT' || item.kind === 'CONSUMER');
  return {
    deployments: count(hit, 'DEPLOYMENT'),
    consumers: count(hit, 'CONSUMER'),
    teams: ownersOf(hit).size,
  };
}

function count(items: readonly Item[], kind: AssetKind): number {
  return items.filter((item) => item.kind === kind).length;
}

function ownersOf(items: readonly Item[]): Set<string> {
  return new Set(items.flatMap((item) => item.owners));
}
