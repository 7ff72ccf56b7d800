import './workers';
import 'graphiql/style.css';
import './page.css';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import welcome from './welcome.graphql?raw';

const endpoint = new URL('/graphql', window.location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:';

// What is typed into the headers pane goes into the headers of a query, and into the payload of
// `connection_init` for a subscription: a browser cannot set the headers of a WebSocket.
const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false,
});

// A link may carry a query to be shown: /graphql?query=…&variables=…
const link = new URLSearchParams(window.location.search);
const query = link.get('query');
const variables = link.get('variables');

const root = document.getElementById('root');
if (!root) throw new Error('The page has no #root');
createRoot(root).render(
  <StrictMode>
    <GraphiQL
      fetcher={fetcher}
      defaultQuery={welcome}
      {...(query !== null && { initialQuery: query })}
      {...(variables !== null && { initialVariables: variables })}
    />
  </StrictMode>,
);
