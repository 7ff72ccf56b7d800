/** What the service tells by itself: commits and alerts. Pages ask anew when either has happened. */
import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from 'react';
import {
  type AnyVariables,
  type TypedDocumentNode,
  type UseQueryResponse,
  useQuery,
  useSubscription,
} from 'urql';
import { watchConnection } from './client';
import { AlertChangesDocument, ChangesDocument } from './generated';

/** At most once in so many milliseconds, however fast the commits. */
const REFRESH_MS = 1_500;

interface Live {
  /** Counts what made shown lineage outdated. */
  graph: number;
  /** Counts what made shown alerts outdated. */
  alerts: number;
  connected: boolean;
}

const Context = createContext<Live>({ graph: 0, alerts: 0, connected: true });

export function LiveProvider({ children }: { children: ReactNode }) {
  const [graph, setGraph] = useState(0);
  const [alerts, setAlerts] = useState(0);
  const [connected, setConnected] = useState(true);
  const timer = useRef<number | undefined>(undefined);
  const lost = useRef(false);

  useSubscription({ query: AlertChangesDocument }, () => {
    setAlerts((count) => count + 1);
    return null;
  });
  useSubscription({ query: ChangesDocument }, () => {
    timer.current ??= window.setTimeout(() => {
      timer.current = undefined;
      setGraph((count) => count + 1);
    }, REFRESH_MS);
    return null;
  });
  useEffect(
    () =>
      watchConnection((now) => {
        setConnected(now);
        if (now && lost.current) {
          // What happened while nothing was heard.
          setGraph((count) => count + 1);
          setAlerts((count) => count + 1);
        }
        lost.current = !now;
      }),
    [],
  );
  return <Context value={{ graph, alerts, connected }}>{children}</Context>;
}

export const useLive = () => useContext(Context);

/** A query asked anew each time `happened` counts on; meanwhile the last answer stays. */
export function useFreshQuery<Data, Variables extends AnyVariables>(
  query: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  happened: number,
  pause = false,
): UseQueryResponse<Data, Variables> {
  const response = useQuery<Data, Variables>({
    query,
    variables,
    pause,
    requestPolicy: 'cache-and-network',
  } as Parameters<typeof useQuery<Data, Variables>>[0]);
  const [, ask] = response;
  const seen = useRef(happened);
  useEffect(() => {
    if (seen.current === happened || pause) return;
    seen.current = happened;
    ask({ requestPolicy: 'network-only' });
  }, [happened, pause, ask]);
  return response;
}
