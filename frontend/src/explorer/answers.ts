/** What the service answers about the lineage of an asset, as the explorer shows it. */
import { useEffect, useMemo, useState } from 'react';
import { type CombinedError, type OperationResult, useClient } from 'urql';
import {
  type Direction,
  type Follow,
  LineageDocument,
  UseDocument,
  type UseQuery,
  type UseQueryVariables,
} from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { type Answer, readAnswer, type Side } from '../lineage/model';

const DIRECTION: Record<Side, Direction> = { up: 'UPSTREAM', down: 'DOWNSTREAM' };
const PAGES_OF_USE = 5;

export interface Asked {
  answer: Answer | null;
  /** What the service says why it has none. */
  problem: string | null;
  error: CombinedError | undefined;
  retry: () => void;
}

export function useLineage(start: string, side: Side, follow: Follow, pause: boolean): Asked {
  const live = useLive();
  const variables = useMemo(
    () => ({ start, direction: DIRECTION[side], follow }),
    [start, side, follow],
  );
  const [{ data, error }, ask] = useFreshQuery(LineageDocument, variables, live.graph, pause);
  const lineage = pause ? undefined : data?.lineage;
  const answer = useMemo(
    () => (lineage?.__typename === 'Lineage' ? readAnswer(lineage.start.id, side, lineage) : null),
    [lineage, side],
  );
  const problem = lineage && lineage.__typename !== 'Lineage' ? lineage.message : null;
  return { answer, problem, error, retry: () => ask({ requestPolicy: 'network-only' }) };
}

export interface Seen {
  verified: boolean | null;
  callsPerDay: number;
  calls: number;
  unidentified: number;
  lastSeen: string | null;
}

export interface Use {
  seen: Map<string, Seen>;
  /** False: there are more callers and called than were asked for. */
  all: boolean;
}

const NOTHING: Use = { seen: new Map(), all: true };

/** Calls of the deployments, features and consumers on one side of an asset. */
export function useUse(start: string, side: Side, follow: Follow, pause: boolean): Use {
  const client = useClient();
  const live = useLive();
  const [use, setUse] = useState(NOTHING);

  useEffect(() => {
    let outdated = pause;
    const ask = async () => {
      const seen = new Map<string, Seen>();
      let after: string | null = null;
      for (let page = 0; page < PAGES_OF_USE && !outdated; page += 1) {
        const variables: UseQueryVariables = { start, direction: DIRECTION[side], follow, after };
        const { data }: OperationResult<UseQuery> = await client
          .query(UseDocument, variables, { requestPolicy: 'network-only' })
          .toPromise();
        if (data?.lineage.__typename !== 'Lineage' || outdated) return;
        for (const { id, verified, usage, unidentified } of data.lineage.assets.nodes) {
          const { calls, callsPerDay, lastSeen } = usage;
          seen.set(id, {
            verified,
            calls,
            callsPerDay,
            lastSeen,
            unidentified: unidentified.calls,
          });
        }
        const { hasNextPage, endCursor } = data.lineage.assets.pageInfo;
        setUse({ seen: new Map(seen), all: !hasNextPage });
        if (!hasNextPage) return;
        after = endCursor;
      }
    };
    void ask();
    return () => {
      outdated = true;
    };
  }, [client, start, side, follow, pause, live.graph]);
  return use;
}
