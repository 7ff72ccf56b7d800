// Uses a running service through the GraphQL clients people have.
// Usage: node clients.mjs http://localhost:8000 [bearer token]
import assert from 'node:assert/strict';
import { Client, fetchExchange, gql } from '@urql/core';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import WebSocket from 'ws';

// The operations of this check, and what is expected of their answers.
const NAMESPACE = 'node-clients';
const keyOf = (name) => `consumer:${NAMESPACE}/${name}`;
const operations = {
  query: {
    document: 'query Find($key: ID!) { asset(key: $key) { id } head { revision } }',
    variables: { key: keyOf('nobody') },
    check: (data) => {
      assert.equal(data.asset, null);
      assert.equal(typeof data.head.revision, 'number');
    },
  },
  invalid: { document: '{ noSuchField }' },
  mutation: {
    document: `mutation Register($input: ConsumerInput!) {
      registerConsumer(input: $input) {
        ... on Registered { changed assets { id kind } }
        ... on Problem { message }
      }
    }`,
    variables: (name) => ({ input: { namespace: NAMESPACE, name } }),
    check: ({ registerConsumer: { assets, message } }, name) =>
      assert.equal(assets?.[0]?.id, keyOf(name), message),
  },
  subscription: {
    document: 'subscription { changes { number changes { verb subject } } }',
    isEventOf: ({ changes: revision }, name) =>
      revision.changes.some(({ verb, subject }) => verb === 'ADDED' && subject === keyOf(name)),
  },
};

const TIMEOUT_MS = 10_000;
const RETRY_MS = 250;

const [base, token] = process.argv.slice(2);
if (!base) {
  console.error('Usage: node clients.mjs <base URL of the service> [bearer token]');
  process.exit(2);
}
const url = new URL('/graphql', base).href;
const headers = token ? { Authorization: `Bearer ${token}` } : {};

/** urql with its own Accept header, which also names event streams, or with the given one. */
function urql(accept) {
  return new Client({
    url,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    requestPolicy: 'network-only',
    fetchOptions: { headers: accept ? { ...headers, accept } : headers },
  });
}

function dataOf(result) {
  if (result.error) throw result.error;
  return result.data;
}

async function query(client) {
  const { document, variables, check } = operations.query;
  check(dataOf(await client.query(gql(document), variables)));
}

async function invalid(client) {
  const result = await client.query(gql(operations.invalid.document), {});
  assert.ok(
    result.error?.graphQLErrors.length > 0,
    `expected a GraphQL error, got ${result.error ?? JSON.stringify(result.data)}`,
  );
}

async function mutate(client, text) {
  const { document, variables, check } = operations.mutation;
  check(dataOf(await client.mutation(gql(document), variables(text))), text);
}

/**
 * Mutates again and again, each time something new, since no protocol tells the client when its
 * subscription has begun. `isMine` tells whether an event is of one of these mutations.
 */
function keepWriting(name, onFailure) {
  const writer = urql();
  const sent = [];
  const timer = setInterval(() => {
    sent.push(`${name}-${Date.now()}-${sent.length}`);
    mutate(writer, sent.at(-1)).catch(onFailure);
  }, RETRY_MS);
  return {
    isMine: (data) => sent.some((text) => operations.subscription.isEventOf(data, text)),
    stop: () => clearInterval(timer),
  };
}

/** Subscribes with a client of graphql-ws or graphql-sse, until an event arrives. */
async function subscribe(client, name) {
  const events = client.iterate({ query: operations.subscription.document });
  let failure;
  const writing = keepWriting(name, (error) => (failure ??= error));
  try {
    for await (const { data, errors } of events) {
      assert.equal(errors, undefined, JSON.stringify(errors));
      if (failure) throw failure;
      if (writing.isMine(data)) return;
    }
    assert.fail('the subscription ended without the event');
  } finally {
    writing.stop();
  }
}

const checks = {
  'urql, default Accept: query': () => query(urql()),
  'urql, default Accept: invalid query': () => invalid(urql()),
  'urql, default Accept: mutation': () => mutate(urql(), 'urql'),
  'urql, graphql-response+json: query': () => query(urql('application/graphql-response+json')),
  'urql, application/json: query': () => query(urql('application/json')),
  'urql, application/json: invalid query': () => invalid(urql('application/json')),
  'urql, subscription by fetch': async () => {
    const client = new Client({
      url,
      exchanges: [fetchExchange],
      preferGetMethod: false,
      fetchSubscriptions: true,
      fetchOptions: { headers },
    });
    await new Promise((resolve, reject) => {
      const writing = keepWriting('urql', reject);
      const { unsubscribe } = client
        .subscription(gql(operations.subscription.document), {})
        .subscribe(({ data, error }) => {
          if (!error && !writing.isMine(data)) return;
          writing.stop();
          setTimeout(() => unsubscribe());
          if (error) reject(error);
          else resolve();
        });
    });
  },
  'graphql-ws: subscription': async () => {
    let protocol;
    const client = createWsClient({
      url: url.replace(/^http/, 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: headers,
      retryAttempts: 0,
      on: { connected: (socket) => (protocol = socket.protocol) },
    });
    await subscribe(client, 'ws');
    assert.equal(protocol, 'graphql-transport-ws');
    await client.dispose();
  },
  'graphql-sse: subscription': async () => {
    const client = createSseClient({ url, headers, retryAttempts: 0 });
    await subscribe(client, 'sse');
    client.dispose();
  },
};

function withTimeout(promise) {
  return Promise.race([
    promise,
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error(`nothing within ${TIMEOUT_MS} ms`)), TIMEOUT_MS).unref(),
    ),
  ]);
}

let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await withTimeout(check());
    console.log(`ok    ${name}`);
  } catch (error) {
    failures++;
    console.error(`FAIL  ${name}: ${error.stack ?? JSON.stringify(error)}`);
  }
}
console.log(`${Object.keys(checks).length - failures} of ${Object.keys(checks).length} checks passed`);
process.exit(failures === 0 ? 0 : 1);
