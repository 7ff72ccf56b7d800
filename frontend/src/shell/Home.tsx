import { useQuery } from 'urql';
import { AlertList } from '../alerts/AlertList';
import { useOpenAlerts } from '../alerts/open';
import { AnyAssetDocument } from '../api/generated';
import { useLive } from '../api/live';
import { texts } from '../texts';
import { Search } from './Search';
import { Pending } from './states';

export function Home() {
  const { alerts, error, loaded, retry } = useOpenAlerts();
  const { graph } = useLive();
  const [{ data }] = useQuery({ query: AnyAssetDocument, requestPolicy: 'cache-and-network' });
  const isEmpty = graph === 0 && data?.assets.nodes.length === 0;
  return (
    <>
      <div className="hero">
        <h1>{texts.home.heading}</h1>
        <p>{texts.home.lead}</p>
        <Search large />
        {isEmpty && (
          <p className="quiet">
            {texts.home.empty} {texts.home.emptyHint}
          </p>
        )}
      </div>
      {!isEmpty && (
        <section className="open-alerts" aria-labelledby="open-alerts">
          <h2 id="open-alerts">{texts.alerts.heading}</h2>
          {loaded ? (
            <AlertList alerts={alerts} none={texts.home.quiet} />
          ) : (
            <Pending error={error} retry={retry} />
          )}
        </section>
      )}
    </>
  );
}
