/** Every word the explorer shows, in one place. */
import type {
  AlertState,
  AssetKind,
  Basis,
  CauseReason,
  DriftSide,
  Timing,
  Verb,
  WhenFelt,
} from './api/generated';
import type { Impact, Summary } from './lineage/summary';

const LANGUAGE = 'en';
const numbers = new Intl.NumberFormat(LANGUAGE);
const short = new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 3 });
const moments = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'medium', timeStyle: 'short' });
const spans = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'auto' });
const lists = new Intl.ListFormat(LANGUAGE, { type: 'conjunction' });

export const number = (value: number) => numbers.format(value);
export const figure = (value: number) =>
  value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : short.format(value);
export const percent = (share: number) =>
  `${share > 0 && share < 0.01 ? '<1' : Math.round(share * 100)}%`;
export const moment = (text: string) => moments.format(new Date(text));

export function ago(text: string): string {
  const seconds = (new Date(text).getTime() - Date.now()) / 1000;
  const units = [
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
  ] as const;
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return spans.format(Math.round(seconds / size), unit);
  }
  return 'just now';
}

const KINDS: Record<AssetKind, [one: string, many: string]> = {
  DATASET: ['dataset', 'datasets'],
  COLUMN: ['column', 'columns'],
  FEATURE_VIEW: ['feature view', 'feature views'],
  FEATURE: ['feature', 'features'],
  JOB: ['job', 'jobs'],
  RUN: ['run', 'runs'],
  MODEL: ['model', 'models'],
  MODEL_VERSION: ['model version', 'model versions'],
  DEPLOYMENT: ['deployment', 'deployments'],
  CONSUMER: ['consumer', 'consumers'],
  ALERT: ['alert', 'alerts'],
};

export const kind = (of: AssetKind) => KINDS[of][0];
export const kinds = (of: AssetKind) => KINDS[of][1];
export const counted = (count: number, one: string, many: string) =>
  `${number(count)} ${count === 1 ? one : many}`;
export const countedKind = (count: number, of: AssetKind) => counted(count, ...KINDS[of]);
export const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

export const WHEN: Record<WhenFelt, string> = {
  NOW: 'now',
  NEXT_TRAINING: 'next training',
  HISTORIC: 'historic',
};
export const STATE: Record<AlertState, string> = {
  OPEN: 'open',
  ACKNOWLEDGED: 'acknowledged',
  RESOLVED: 'resolved',
};
export const BASIS: Record<Basis, string> = {
  DECLARED: 'declared',
  IMPORTED: 'imported',
  OBSERVED: 'observed',
  INFERRED: 'inferred',
};
export const TIMING: Record<Timing, string> = { LIVE: 'live', BUILT: 'at the next training' };
export const REASON: Record<CauseReason, string> = {
  DRIFTED: 'drifted itself',
  CHANGED: 'changed lately',
  UPSTREAM: 'lies upstream',
};
export const VERB: Record<Verb, string> = {
  ADDED: 'added',
  CHANGED: 'changed',
  WITHDRAWN: 'withdrawn',
};

export const perDay = (calls: number) =>
  calls > 0 && calls < 1
    ? '<1 call/day'
    : `${short.format(calls)} ${calls === 1 ? 'call' : 'calls'}/day`;

export const rate = (calls: number) => (calls < 1 ? '<1/day' : `${short.format(calls)}/day`);

export const verification = (verified: boolean | null) =>
  verified === null ? null : verified ? 'verified' : 'claimed';

/** The counted sentence about a change, in parts: what comes before the name, and what after. */
export function impactSentence(
  summary: Summary,
  loss: boolean,
  complete: boolean,
  unnamed: { calls: number; all: boolean },
): [string, string] {
  const { now, next, total } = summary;
  const before = loss ? 'A loss of' : 'A change of';
  const sightings =
    unnamed.calls > 0
      ? `, and ${unnamed.all ? '' : 'at least '}${counted(unnamed.calls, 'call', 'calls')} by callers nobody could name`
      : '';
  const end = complete ? '; complete.' : '; not complete: a limit cut some paths.';
  if (total === 0) return [before, `reaches nothing that is recorded${sightings}${end}`];
  const parts: string[] = [];
  const hitNow = hit(now);
  if (hitNow) parts.push(`${hitNow}${ofTeams(now)} now`);
  const later = [hit(next), next.versions > 0 ? counted(next.versions, 'version', 'versions') : '']
    .filter(Boolean)
    .join(' and ');
  if (later) parts.push(`${later} at the next training`);
  if (parts.length === 0) parts.push(counted(total, 'asset', 'assets'));
  return [before, `reaches ${parts.join(', ')}${sightings}${end}`];
}

function hit(impact: Impact): string {
  return [
    impact.deployments > 0 ? countedKind(impact.deployments, 'DEPLOYMENT') : '',
    impact.consumers > 0 ? countedKind(impact.consumers, 'CONSUMER') : '',
  ]
    .filter(Boolean)
    .join(' and ');
}

function ofTeams(impact: Impact): string {
  return impact.teams > 0 ? ` of ${counted(impact.teams, 'team', 'teams')}` : '';
}

/** The same about what an asset is made from. */
export function sourceSentence(summary: Summary, complete: boolean): string {
  const end = complete ? '; complete.' : '; not complete: a limit cut some paths.';
  if (summary.total === 0) return `is made from nothing that is recorded${end}`;
  const parts = summary.kinds.map(([of, count]) => countedKind(count, of)).reverse();
  return `is made from ${lists.format(parts)} of ${counted(summary.teams, 'team', 'teams')}${end}`;
}

const PARTS: Partial<Record<AssetKind, AssetKind>> = {
  DATASET: 'COLUMN',
  FEATURE_VIEW: 'FEATURE',
  JOB: 'RUN',
  MODEL: 'MODEL_VERSION',
};
const partsOf = (count: number, container: AssetKind) =>
  countedKind(count, PARTS[container] ?? 'COLUMN');

export const texts = {
  product: 'Headwater',
  titled: (text: string) => `${text} – Headwater`,
  skip: 'Skip to the content',
  search: {
    label: 'Search assets',
    placeholder: 'Search by name, owner, tag or kind',
    key: '/',
    none: (text: string) => `Nothing is registered that matches “${text}”.`,
    found: (count: number) => counted(count, 'match', 'matches'),
  },
  home: {
    heading: 'What breaks if this changes?',
    lead: 'Find an asset to see all that depends on it, and what it is made from.',
    empty: 'Nothing is registered yet.',
    emptyHint: 'Register assets through the API, or start the demonstration with make run.',
    quiet: 'No open alerts.',
  },
  nav: {
    alerts: 'Alerts',
    api: 'API',
    openAlerts: (count: number) => counted(count, 'open alert', 'open alerts'),
  },
  live: { paused: 'Live updates are paused: the connection is lost. Trying again…' },
  state: {
    loading: 'Loading…',
    failed: 'This could not be loaded.',
    retry: 'Try again',
    unknown: (key: string) => `Nothing is known by the key ${key}.`,
    nowhere: 'There is no such page.',
    home: 'Search for an asset',
  },
  token: {
    heading: 'A token is needed',
    lead: 'This service answers those with a token only. It is kept until this tab is closed.',
    label: 'Token',
    refused: 'The service does not accept that token.',
    use: 'Use token',
  },
  asset: {
    owner: 'Owner',
    owners: 'Owners',
    nobody: 'nobody',
    noOwner: 'no owner',
    tier: (tier: number) => `tier ${tier}`,
    tierHint: 'How critical it is, from 1 (most) to 4',
    stub: 'Known only as the end of a flow: nobody has described it.',
    in: 'in',
    source: 'Source',
    moreAlerts: (count: number) => counted(count, 'further alert', 'further alerts'),
    tabs: { lineage: 'Lineage', facts: 'Facts', history: 'History' },
    tabsLabel: 'About this asset',
  },
  explore: {
    ways: 'Direction',
    upstream: 'Upstream',
    downstream: 'Downstream',
    both: 'Both',
    follow: 'What to follow',
    values: 'Changes',
    loss: 'Loss',
    valuesHint: 'Who sees other content when this changes',
    lossHint: 'Who is hit when this is gone, renamed, retyped or failing',
    graph: (title: string) =>
      `Lineage of ${title}: upstream to the left, downstream to the right. Arrow keys move, Space selects, Enter opens.`,
    legend: 'Legend',
    live: 'felt now',
    built: 'felt at the next training',
    through: 'by way of hidden assets',
    zoomIn: 'Zoom in',
    zoomOut: 'Zoom out',
    fit: 'Show all',
    folded: (count: number, shown: number, of: AssetKind | undefined) =>
      shown > 0 || !of ? `${number(count)} more` : partsOf(count, of),
    unfold: (count: number, title: string) =>
      `Show ${counted(count, 'more part', 'more parts')} of ${title}`,
    grouped: (count: number) =>
      `${number(count)} assets are too many for single cards: these are groups by kind and owner. Choose one to see its assets.`,
    ownedBy: (owner: string) => owner || 'no owner',
    noneLeft: 'The filter leaves nothing.',
    clear: 'Clear the filter',
    selected: (name: string) => `${name} is selected`,
    unselected: 'Nothing is selected',
    unknownSelection: 'The selected asset is not in this answer.',
  },
  list: {
    label: 'Impact list',
    shown: (shown: number, all: number) =>
      shown === all
        ? counted(all, 'asset', 'assets')
        : `${number(shown)} of ${counted(all, 'asset', 'assets')}`,
    filter: 'Filter',
    text: 'Filter by text',
    kinds: 'Kinds',
    owner: 'Owner',
    anyOwner: 'any owner',
    when: 'When felt',
    any: 'Any time',
    now: 'Now',
    next: 'Next training',
    historic: (count: number) => `Historic (${number(count)})`,
    historicHint: 'Reached only through runs and versions that nothing uses any more',
    hops: (hops: number) => counted(hops, 'step', 'steps'),
    partly: 'partly',
    more: (count: number) => `Show ${number(count)} more`,
    noneDownstream: 'Nothing is recorded downstream.',
    noneUpstream: 'Nothing is recorded upstream.',
  },
  why: {
    heading: 'Why is this affected?',
    headingUp: 'Why does this matter?',
    open: 'Open',
    close: 'Clear the selection',
    steps: (length: number) => `The shortest way, ${counted(length, 'step', 'steps')}`,
    none: 'No way leads there at this moment.',
    start: 'This is where you look from.',
    via: (title: string) => `told by ${title}`,
    saidBy: (origins: readonly string[]) => lists.format(origins),
    implied: 'follows from the signature',
  },
  facts: {
    attributes: 'What is said of it',
    name: 'Attribute',
    value: 'Value',
    says: 'Who says so',
    none: 'Nobody has said anything of it.',
    disagrees: (value: string, origin: string) => `${origin} says ${value}`,
    parts: {
      DATASET: 'Columns',
      FEATURE_VIEW: 'Features',
      JOB: 'Runs',
      MODEL: 'Versions',
    } as Partial<Record<AssetKind, string>>,
    part: 'Name',
    type: 'Type',
    about: 'About',
    aliases: 'Aliases',
    signature: 'Signature',
    input: 'Inputs',
    output: 'Outputs',
    flowsIn: 'Flows in',
    flowsOut: 'Flows out',
    from: 'From',
    to: 'To',
    timing: 'Timing',
    basis: 'Basis',
    calls: 'Calls, 30 days',
    seen: 'Last seen',
    usage: 'Use',
    usageSum: (calls: number, errors: number) =>
      `${counted(calls, 'call', 'calls')} in 30 days, ${counted(errors, 'failed', 'failed')}`,
    usageNone: 'No call was seen in 30 days.',
    firstSeen: 'First seen',
    lastSeen: 'Last seen',
    unnamed: (calls: number) => `${counted(calls, 'call', 'calls')} by callers nobody could name`,
    day: 'Day',
    cut: (count: number) => `The first ${number(count)} are shown.`,
    noFlows: 'None is recorded.',
    shown: 'Show all of it',
  },
  history: {
    none: 'Nothing has changed yet.',
    revision: (number: number) => `Revision ${numbers.format(number)}`,
    by: (actor: string) => `by ${actor}`,
    more: 'Earlier changes',
    changes: (count: number) =>
      `${counted(count, 'further change', 'further changes')} in this revision`,
  },
  alerts: {
    heading: 'Alerts',
    open: 'Open',
    resolved: 'Resolved',
    which: 'Which alerts',
    none: { open: 'No open alerts.', resolved: 'No resolved alerts.' },
    opened: 'Opened',
    lastSeen: 'Last seen',
    about: 'About',
    column: 'Nearest source column',
    deployments: 'Deployments',
    version: 'Model version',
    rows: 'Predictions tested',
    acknowledge: 'Acknowledge',
    resolve: 'Resolve',
    acknowledged: 'The alert is acknowledged.',
    resolvedNow: 'The alert is resolved.',
    drifted: 'What drifted',
    driftedLead: 'The distribution lately seen against that of the training data.',
    name: 'Column',
    effect: 'Effect',
    tests: 'Tests',
    test: (name: string, statistic: number, p: number) =>
      `${name} ${figure(statistic)}, p ${p < 0.001 ? '< 0.001' : `= ${figure(p)}`}`,
    sideOf: (side: DriftSide, deployment: string) =>
      `${side === 'INPUT' ? 'input' : 'output'} of ${deployment}`,
    compared: 'Mean ± deviation',
    reference: 'Training',
    current: 'Lately',
    missing: 'missing',
    ofRows: (rows: number) => `of ${counted(rows, 'row', 'rows')}`,
    causes: 'Likely causes',
    noCauses: 'Nothing upstream explains it.',
    path: 'From the cause to the consumers',
    pathLabel: 'The way from the likely cause to the consumers',
    consumers: 'Who is affected',
    consumer: 'Consumer',
    use: 'Use',
    felt: 'Felt',
    noConsumers: 'No consumer is recorded downstream.',
    notSeen: 'no call seen',
    more: 'More alerts',
  },
};
