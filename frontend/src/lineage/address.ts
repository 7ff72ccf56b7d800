/** Places of the explorer as addresses, so that a link shows a colleague the same picture. */
import type { AssetKind, Follow } from '../api/generated';
import { EVERYTHING, type Filter } from './filter';
import { KINDS } from './model';

export type Ways = 'downstream' | 'upstream' | 'both';
export type Tab = 'lineage' | 'facts' | 'history';

/** What of the asset page stands in the address: all but the camera. */
export interface ExploreState {
  ways: Ways;
  follow: Follow;
  filter: Filter;
  selected: string | null;
  tab: Tab;
}

export type Place =
  | { page: 'home' }
  | { page: 'asset'; key: string; state: ExploreState }
  | { page: 'alerts'; resolved: boolean }
  | { page: 'alert'; id: string }
  | { page: 'nowhere' };

const DEFAULT: ExploreState = {
  ways: 'both',
  follow: 'VALUES',
  filter: EVERYTHING,
  selected: null,
  tab: 'lineage',
};

export function placeOf(path: string, search: string): Place {
  const given = new URLSearchParams(search);
  if (path === '/') return { page: 'home' };
  if (path === '/alerts') return { page: 'alerts', resolved: given.get('state') === 'resolved' };
  const key = decoded(path.replace(/^\/(n|alerts)\//, ''));
  if (key === null) return { page: 'nowhere' };
  if (path.startsWith('/alerts/')) return { page: 'alert', id: key };
  if (path.startsWith('/n/')) return { page: 'asset', key, state: stateOf(given) };
  return { page: 'nowhere' };
}

/** The key is escaped once more, for its own `#` and `%`; `:` and `/` stay legible. */
export function assetAddress(key: string, state: Partial<ExploreState> = {}): string {
  return `/n/${escaped(key)}${searchOf({ ...DEFAULT, ...state })}`;
}

export function alertAddress(id: string): string {
  return `/alerts/${escaped(id)}`;
}

function escaped(key: string): string {
  const text = encodeURIComponent(key).replaceAll('%3A', ':');
  // Browsers would resolve a name of dots as a folder.
  return /%2F\.{1,2}$/.test(text) ? text : text.replaceAll('%2F', '/');
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text) || null;
  } catch {
    return null;
  }
}

function stateOf(given: URLSearchParams): ExploreState {
  const one = <T extends string>(name: string, choices: readonly T[], otherwise: T): T =>
    choices.find((choice) => choice === given.get(name)) ?? otherwise;
  const kinds = (given.get('kind') ?? '').toUpperCase().split(',');
  const when = given.get('when');
  return {
    ways: one('direction', ['downstream', 'upstream', 'both'], DEFAULT.ways),
    follow: given.get('follow') === 'loss' ? 'LOSS' : 'VALUES',
    tab: one('tab', ['lineage', 'facts', 'history'], DEFAULT.tab),
    selected: given.get('selected'),
    filter: {
      kinds: KINDS.filter((kind) => kinds.includes(kind)),
      owner: given.get('owner'),
      when: when === 'now' ? 'NOW' : when === 'next' ? 'NEXT_TRAINING' : null,
      historic: given.get('historic') === 'yes',
      text: given.get('text') ?? '',
    },
  };
}

function searchOf({ ways, follow, tab, selected, filter }: ExploreState): string {
  const search = new URLSearchParams();
  if (tab !== DEFAULT.tab) search.set('tab', tab);
  if (ways !== DEFAULT.ways) search.set('direction', ways);
  if (follow === 'LOSS') search.set('follow', 'loss');
  if (filter.kinds.length > 0) search.set('kind', filter.kinds.map(lower).join(','));
  if (filter.owner !== null) search.set('owner', filter.owner);
  if (filter.when) search.set('when', filter.when === 'NOW' ? 'now' : 'next');
  if (filter.historic) search.set('historic', 'yes');
  if (filter.text) search.set('text', filter.text);
  if (selected) search.set('selected', selected);
  const text = search.toString();
  return text && `?${text}`;
}

const lower = (kind: AssetKind) => kind.toLowerCase();
