/** A lineage answer as the explorer holds it, read from the columns of the public schema. No React here. */
import type { AssetKind, WhenFelt } from '../api/generated';

export type Side = 'up' | 'down';

export interface Item {
  key: string;
  kind: AssetKind;
  title: string;
  namespace: string;
  owners: string[];
  tags: string[];
  tier: number | null;
  hops: number;
  when: WhenFelt;
  /** Some of it is reached, not all of it. */
  partly: boolean;
  /** Known only as the end of a flow. */
  stub: boolean;
  side: Side;
}

export interface Arrow {
  source: string;
  target: string;
  /** Baked in by a training or a run, as against passing at every request. */
  built: boolean;
  /** Stands for a way through assets that a filter hides. */
  through: boolean;
}

export interface Answer {
  start: string;
  items: Item[];
  arrows: Arrow[];
  complete: boolean;
}

interface Columns {
  key: string[];
  kind: string[];
  title: string[];
  namespace: string[];
  owners: string[][];
  tags: string[][];
  tier: (number | null)[];
  hops: number[];
  when: WhenFelt[];
  partly: boolean[];
  stub: boolean[];
}

interface Arrows {
  source: number[];
  target: number[];
  timing: ('LIVE' | 'BUILT')[];
}

/** The two JSON scalars of `Lineage`; throws when they are not as the schema describes them. */
export function readAnswer(
  start: string,
  side: Side,
  lineage: { complete: boolean; total: number; columns: unknown; arrows: unknown },
): Answer {
  const columns = lineage.columns as Columns;
  const arrows = lineage.arrows as Arrows;
  if (columns.key.length !== lineage.total) {
    throw new Error(`${columns.key.length} rows of ${lineage.total} assets arrived`);
  }
  const at = <T>(column: T[], row: number): T => {
    if (row >= column.length) throw new Error(`A column of the answer ends before row ${row}`);
    return column[row] as T;
  };
  const keyAt = (row: number) => (row < 0 ? start : at(columns.key, row));
  return {
    start,
    complete: lineage.complete,
    items: columns.key.map((key, row) => ({
      key,
      kind: at(columns.kind, row).toUpperCase() as AssetKind,
      title: at(columns.title, row),
      namespace: at(columns.namespace, row),
      owners: at(columns.owners, row),
      tags: at(columns.tags, row),
      tier: at(columns.tier, row),
      hops: at(columns.hops, row),
      when: at(columns.when, row),
      partly: at(columns.partly, row),
      stub: at(columns.stub, row),
      side,
    })),
    arrows: arrows.source.map((source, index) => ({
      source: keyAt(source),
      target: keyAt(at(arrows.target, index)),
      built: at(arrows.timing, index) === 'BUILT',
      through: false,
    })),
  };
}

/** Up- and downstream of one start as one answer. What lies on a cycle through the start counts as downstream. */
export function joined(up: Answer | null, down: Answer | null): Answer | null {
  if (!up || !down) return up ?? down;
  const below = new Set(down.items.map((item) => item.key));
  const known = new Set(down.arrows.map(pairOf));
  return {
    start: down.start,
    complete: up.complete && down.complete,
    items: [...down.items, ...up.items.filter((item) => !below.has(item.key))],
    arrows: [...down.arrows, ...up.arrows.filter((arrow) => !known.has(pairOf(arrow)))],
  };
}

export function pairOf(arrow: { source: string; target: string }): string {
  return `${arrow.source} ${arrow.target}`;
}

/** The key of what this is a part of; null for what stands alone. */
export function containerOf(key: string): string | null {
  const [whole, part] = key.split('#');
  if (part === undefined || whole === undefined) return null;
  const kind = whole.slice(0, whole.indexOf(':'));
  const container = CONTAINERS[kind];
  return container === undefined ? null : container + whole.slice(kind.length);
}

export function kindOf(key: string): AssetKind {
  return key.slice(0, key.indexOf(':')).toUpperCase() as AssetKind;
}

/** The name of what a key names; of a part that of its container. */
export function nameOf(key: string): string {
  const [whole = ''] = key.split('#');
  return decodeURIComponent(whole.slice(whole.indexOf('/') + 1));
}

/** A title that fits where the container is seen too: runs have nothing but long ids. */
export function shortTitle(key: string, title: string): string {
  return key.startsWith('run:') ? title.slice(0, 8) : title;
}

/** A title that stands by itself: versions and runs say nothing without what they are of. */
export function fullTitle(key: string, title: string): string {
  const needsName = key.startsWith('run:') || key.startsWith('model_version:');
  return needsName ? `${nameOf(key)} ${shortTitle(key, title)}` : title;
}

const CONTAINERS: Record<string, string> = {
  column: 'dataset',
  feature: 'feature_view',
  run: 'job',
  model_version: 'model',
};

/** From what people act on to where it comes from. */
export const KINDS: readonly AssetKind[] = [
  'CONSUMER',
  'DEPLOYMENT',
  'MODEL',
  'MODEL_VERSION',
  'FEATURE_VIEW',
  'FEATURE',
  'JOB',
  'RUN',
  'DATASET',
  'COLUMN',
  'ALERT',
];
