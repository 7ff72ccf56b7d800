import './styles/base.css';
import './styles/pages.css';
import './styles/explore.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { Provider } from 'urql';
import { client } from './api/client';
import { LiveProvider } from './api/live';
import { App } from './shell/App';

const root = document.getElementById('root');
if (!root) throw new Error('The page has no #root');
createRoot(root).render(
  <StrictMode>
    <Provider value={client}>
      <LiveProvider>
        <App />
      </LiveProvider>
    </Provider>
  </StrictMode>,
);
