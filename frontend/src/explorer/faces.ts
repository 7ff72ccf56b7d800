/** What cards and rows show of an asset, in words ready to be drawn. */
import type { AssetKind, WhenFelt } from '../api/generated';
import { containerOf, fullTitle, type Item, nameOf, shortTitle } from '../lineage/model';
import { capital, counted, kind, perDay, rate, texts, verification, WHEN } from '../texts';
import type { Seen } from './answers';

export interface Face {
  key: string;
  kind: AssetKind;
  /** For inside its container's card, and for anywhere else. */
  part: string;
  title: string;
  /** What it is a part of. */
  within: string | null;
  owner: string;
  when: WhenFelt;
  hops: number;
  alerts: number;
  /** Calls a day; null where none was seen. */
  calls: string | null;
  /** The same, for where there is little room. */
  rate: string | null;
  /** Of consumers that were seen calling. */
  verified: boolean | null;
  partly: boolean;
  stub: boolean;
  /** For those who hear it. */
  name: string;
}

export function facesOf(
  items: readonly Item[],
  seen: ReadonlyMap<string, Seen>,
  alerts: ReadonlyMap<string, number>,
): Map<string, Face> {
  return new Map(
    items.map((item) => [item.key, faceOf(item, seen.get(item.key), alerts.get(item.key) ?? 0)]),
  );
}

function faceOf(item: Item, seen: Seen | undefined, alerts: number): Face {
  const owner = item.owners.join(', ');
  const title = fullTitle(item.key, item.title);
  const within = containerOf(item.key) !== null && title === item.title ? nameOf(item.key) : null;
  const calls = seen && seen.calls > 0 ? perDay(seen.callsPerDay) : null;
  const verified = item.kind === 'CONSUMER' ? (seen?.verified ?? null) : null;
  const said = [
    `${capital(kind(item.kind))} ${title}`,
    within ? `${texts.asset.in} ${within}` : '',
    owner || texts.asset.noOwner,
    item.hops > 0 ? WHEN[item.when] : '',
    calls ?? '',
    verification(verified) ?? '',
    alerts > 0 ? counted(alerts, 'alert', 'alerts') : '',
  ];
  return {
    key: item.key,
    kind: item.kind,
    part: shortTitle(item.key, item.title),
    title,
    within,
    owner,
    when: item.when,
    hops: item.hops,
    alerts,
    calls,
    rate: calls && seen ? rate(seen.callsPerDay) : null,
    verified,
    partly: item.partly,
    stub: item.stub,
    name: said.filter(Boolean).join(', '),
  };
}
