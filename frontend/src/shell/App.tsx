import { useEffect } from 'react';
import { AlertPage } from '../alerts/AlertPage';
import { AlertsPage } from '../alerts/AlertsPage';
import { useOpenAlerts } from '../alerts/open';
import { useLive } from '../api/live';
import { AssetPage } from '../asset/AssetPage';
import { texts } from '../texts';
import { Home } from './Home';
import { Link, usePlace } from './router';
import { Search } from './Search';
import { TokenDialog } from './TokenDialog';

export function App() {
  const place = usePlace();
  const { connected } = useLive();
  const { alerts, more } = useOpenAlerts();
  const isHome = place.page === 'home';

  useEffect(() => {
    // Pages about one thing name it themselves, once they know it.
    if (place.page === 'home') document.title = texts.product;
    if (place.page === 'alerts') document.title = texts.titled(texts.alerts.heading);
  }, [place.page]);

  return (
    <>
      <a className="skip" href="#content">
        {texts.skip}
      </a>
      <header className="bar">
        <Link className="brand" href="/">
          <Brand />
          {texts.product}
        </Link>
        {!isHome && <Search />}
        <nav>
          <Link href="/alerts" aria-current={place.page === 'alerts' ? 'page' : undefined}>
            {texts.nav.alerts}
            {alerts.length > 0 && (
              <span className="badge">
                <span aria-hidden="true">
                  {alerts.length}
                  {more && '+'}
                </span>
                <span className="sr">{texts.nav.openAlerts(alerts.length)}</span>
              </span>
            )}
          </Link>
          <a href="/graphql">{texts.nav.api}</a>
        </nav>
      </header>
      <div role="status" className="paused">
        {connected ? '' : texts.live.paused}
      </div>
      <main id="content" tabIndex={-1} className={place.page}>
        {place.page === 'home' && <Home />}
        {place.page === 'asset' && (
          <AssetPage key={place.key} assetKey={place.key} state={place.state} />
        )}
        {place.page === 'alerts' && <AlertsPage resolved={place.resolved} />}
        {place.page === 'alert' && <AlertPage key={place.id} id={place.id} />}
        {place.page === 'nowhere' && (
          <div className="empty">
            <h1>{texts.state.nowhere}</h1>
            <Link href="/">{texts.state.home}</Link>
          </div>
        )}
      </main>
      <TokenDialog />
    </>
  );
}

function Brand() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <path d="M7 7c0 9 9 6 9 18M25 7c0 9-9 6-9 18" />
      <circle cx="7" cy="6" r="4" />
      <circle cx="25" cy="6" r="4" />
      <circle cx="16" cy="26" r="4" />
    </svg>
  );
}
