/** The alerts that are not resolved: for the badge, the home page and the marks on assets. */
import type { CombinedError } from 'urql';
import { type AlertLineFragment, AlertsDocument } from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';

const UNRESOLVED = { states: ['OPEN' as const, 'ACKNOWLEDGED' as const], first: 100 };

interface OpenAlerts {
  /** Open ones first, newest first. */
  alerts: AlertLineFragment[];
  /** There are more than these. */
  more: boolean;
  loaded: boolean;
  error: CombinedError | undefined;
  retry: () => void;
}

export function useOpenAlerts(): OpenAlerts {
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(AlertsDocument, UNRESOLVED, live.alerts);
  const alerts = data?.alerts.nodes ?? [];
  return {
    alerts: [...alerts].sort((a, b) => Number(b.state === 'OPEN') - Number(a.state === 'OPEN')),
    more: data?.alerts.pageInfo.hasNextPage ?? false,
    loaded: data !== undefined,
    error,
    retry: () => ask({ requestPolicy: 'network-only' }),
  };
}

/** The assets an alert is to be seen at: what it is about, the source of the drift, and where it showed. */
export function placesOf(alert: AlertLineFragment): Set<string> {
  const places = new Set([alert.about.id, ...alert.drifted.map(({ deployment }) => deployment.id)]);
  if (alert.column) places.add(alert.column.id);
  return places;
}

export function alertCounts(alerts: readonly AlertLineFragment[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const alert of alerts) {
    for (const key of placesOf(alert)) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
