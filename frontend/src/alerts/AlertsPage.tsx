import { useState } from 'react';
import { AlertsDocument } from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { Link } from '../shell/router';
import { Pending } from '../shell/states';
import { texts } from '../texts';
import { AlertList } from './AlertList';

const PAGE = 50;

export function AlertsPage({ resolved }: { resolved: boolean }) {
  return (
    <div className="page">
      <h1>{texts.alerts.heading}</h1>
      <nav className="tabs" aria-label={texts.alerts.which}>
        <Link href="/alerts" aria-current={resolved ? undefined : 'page'}>
          {texts.alerts.open}
        </Link>
        <Link href="/alerts?state=resolved" aria-current={resolved ? 'page' : undefined}>
          {texts.alerts.resolved}
        </Link>
      </nav>
      <Alerts key={String(resolved)} resolved={resolved} />
    </div>
  );
}

function Alerts({ resolved }: { resolved: boolean }) {
  const [first, setFirst] = useState(PAGE);
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(
    AlertsDocument,
    { states: resolved ? ['RESOLVED'] : ['OPEN', 'ACKNOWLEDGED'], first },
    live.alerts,
  );
  if (!data) return <Pending error={error} retry={() => ask({ requestPolicy: 'network-only' })} />;
  const alerts = [...data.alerts.nodes].sort(
    (a, b) => Number(b.state === 'OPEN') - Number(a.state === 'OPEN'),
  );
  return (
    <>
      <AlertList
        alerts={alerts}
        none={resolved ? texts.alerts.none.resolved : texts.alerts.none.open}
      />
      {data.alerts.pageInfo.hasNextPage && (
        <button type="button" onClick={() => setFirst(Math.min(first + PAGE, 500))}>
          {texts.alerts.more}
        </button>
      )}
    </>
  );
}
