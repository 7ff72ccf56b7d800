/** The one filter of graph and list, and what remains joined when it hides what lies between. */
import type { AssetKind, WhenFelt } from '../api/generated';
import { type Answer, type Arrow, containerOf, type Item, pairOf } from './model';

export interface Filter {
  /** Empty: all kinds. */
  kinds: AssetKind[];
  /** Null: all; empty text: those that nobody owns. */
  owner: string | null;
  /** Null: all but what is historic. */
  when: Exclude<WhenFelt, 'HISTORIC'> | null;
  historic: boolean;
  text: string;
}

export const EVERYTHING: Filter = { kinds: [], owner: null, when: null, historic: false, text: '' };

/** Whether anything is chosen, beyond what is left out from the beginning. */
export function isFiltering(filter: Filter): boolean {
  const { kinds, owner, when, text } = filter;
  return kinds.length > 0 || owner !== null || when !== null || text.trim() !== '';
}

export function matches(item: Item, filter: Filter): boolean {
  if (filter.kinds.length > 0 && !filter.kinds.includes(item.kind)) return false;
  if (filter.owner !== null && !isOwnedBy(item, filter.owner)) return false;
  if (item.when === 'HISTORIC' ? !filter.historic : filter.when && item.when !== filter.when) {
    return false;
  }
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [item.key, item.title, ...item.owners, ...item.tags].join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
}

function isOwnedBy(item: Item, owner: string): boolean {
  return owner === '' ? item.owners.length === 0 : item.owners.includes(owner);
}

/** How many assets each choice of a filter's field would leave, the other fields being as they are. */
export function tally<T>(
  items: readonly Item[],
  filter: Filter,
  without: Partial<Filter>,
  values: (item: Item) => readonly T[],
): Map<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) {
    if (!matches(item, { ...filter, ...without })) continue;
    for (const value of values(item)) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return counts;
}

/** The arrows among the shown assets and the start; a way through hidden ones becomes one arrow. */
export function contracted(answer: Answer, shown: ReadonlySet<string>): Arrow[] {
  const isShown = (key: string) => key === answer.start || shown.has(key);
  if (answer.items.every((item) => shown.has(item.key))) return answer.arrows;
  const leaving = new Map<string, Step[]>();
  for (const step of [...answer.arrows, ...partSteps(answer)]) {
    const steps = leaving.get(step.source);
    if (steps) steps.push(step);
    else leaving.set(step.source, [step]);
  }
  const found = new Map<string, Arrow>();
  for (const source of [answer.start, ...shown]) {
    for (const { target, built, through } of reachedThrough(source, leaving, isShown)) {
      const arrow = { source, target, built, through };
      const known = found.get(pairOf(arrow));
      // A direct flow says more than a way around, and a live way is felt before a baked one.
      if (!known || rank(arrow) < rank(known)) found.set(pairOf(arrow), arrow);
    }
  }
  return [...found.values()];
}

export interface Step {
  source: string;
  target: string;
  built: boolean;
}

const rank = (arrow: Arrow) => (arrow.through ? 2 : 0) + (arrow.built ? 1 : 0);

function reachedThrough(
  source: string,
  leaving: ReadonlyMap<string, Step[]>,
  isShown: (key: string) => boolean,
): { target: string; built: boolean; through: boolean }[] {
  const ends: { target: string; built: boolean; through: boolean }[] = [];
  const seen = new Set([`${source} false`, `${source} true`]);
  const waiting = [{ key: source, built: false, through: false }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    for (const step of leaving.get(next.key) ?? []) {
      const built = next.built || step.built;
      const state = `${step.target} ${built}`;
      if (isShown(step.target)) {
        if (step.target !== source && !isPartStep(step)) {
          ends.push({ target: step.target, built, through: next.through });
        }
      } else if (!seen.has(state)) {
        seen.add(state);
        waiting.push({ key: step.target, built, through: true });
      }
    }
  }
  return ends;
}

function isPartStep(step: Step): boolean {
  return containerOf(step.target) === step.source || containerOf(step.source) === step.target;
}

/** From a container to its parts where all of it is reached, else from the parts to the container. */
export function partSteps(answer: Answer): Step[] {
  const items = new Map(answer.items.map((item) => [item.key, item]));
  return answer.items.flatMap((part) => {
    const container = items.get(containerOf(part.key) ?? '');
    if (!container) return [];
    const steps = { down: [container.key, part.key], up: [part.key, container.key] } as const;
    const [source, target] = steps[container.partly === (container.side === 'up') ? 'down' : 'up'];
    return [{ source, target, built: false }];
  });
}
