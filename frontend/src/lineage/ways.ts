/** Which part of an answer lies between a cause and those it hits. */
import { partSteps } from './filter';
import type { Answer } from './model';

/** What lies on a live way from the start to one asset, itself included, and from there to the ends. */
export function between(
  answer: Answer,
  through: string,
  ends: ReadonlySet<string>,
): { before: Set<string>; after: Set<string> } {
  const onward = new Map<string, string[]>();
  const back = new Map<string, string[]>();
  const steps = [...answer.arrows.filter((arrow) => !arrow.built), ...partSteps(answer)];
  for (const { source, target } of steps) {
    add(onward, source, target);
    add(back, target, source);
  }
  const beyond = reachable([through], onward);
  const toEnds = reachable(
    [...ends].filter((end) => beyond.has(end)),
    back,
  );
  return {
    before: reachable([through], back),
    after: new Set([...beyond].filter((key) => toEnds.has(key))),
  };
}

function reachable(from: Iterable<string>, steps: ReadonlyMap<string, string[]>): Set<string> {
  const seen = new Set(from);
  for (const key of seen) for (const next of steps.get(key) ?? []) seen.add(next);
  return seen;
}

function add(map: Map<string, string[]>, key: string, value: string): void {
  const known = map.get(key);
  if (known) known.push(value);
  else map.set(key, [value]);
}
