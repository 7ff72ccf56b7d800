import { createClient as createSocket } from 'graphql-ws';
import {
  Client,
  cacheExchange,
  type ExecutionResult,
  fetchExchange,
  subscriptionExchange,
} from 'urql';
import { access, fetchWithAccess } from './access';

const endpoint = new URL('/graphql', location.href);
const socketAddress = new URL(endpoint);
socketAddress.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:';

type Connected = (connected: boolean) => void;
const watchers = new Set<Connected>();

/** Calls back with false when live updates stop, with true when they have come back. */
export function watchConnection(watcher: Connected): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

const tell = (connected: boolean) => {
  for (const watcher of watchers) watcher(connected);
};

const socket = createSocket({
  url: socketAddress.href,
  // By then it is known whether a token is needed, and it is there.
  connectionParams: async () => {
    await access.admitted;
    const token = access.token();
    return token ? { Authorization: `Bearer ${token}` } : {};
  },
  keepAlive: 20_000,
  retryAttempts: Number.POSITIVE_INFINITY,
  shouldRetry: () => true,
  on: { connected: () => tell(true), closed: () => tell(false) },
});

export const client = new Client({
  url: endpoint.href,
  preferGetMethod: false,
  fetch: fetchWithAccess,
  // Else the service would answer queries as a stream of events.
  fetchOptions: { headers: { accept: 'application/graphql-response+json, application/json' } },
  exchanges: [
    cacheExchange,
    fetchExchange,
    subscriptionExchange({
      forwardSubscription: ({ query, variables }) => ({
        subscribe: (sink) => ({
          unsubscribe: socket.subscribe<ExecutionResult['data']>(
            { query: query ?? '', variables: variables ?? {} },
            { ...sink, next: (result) => sink.next(result as ExecutionResult) },
          ),
        }),
      }),
    }),
  ],
});
