import { useEffect } from 'react';
import { AlertList } from '../alerts/AlertList';
import { placesOf, useOpenAlerts } from '../alerts/open';
import { AssetHeadDocument, type AssetHeadQuery } from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { Controls } from '../explorer/Controls';
import { Explore } from '../explorer/Explore';
import { assetAddress, type ExploreState, type Tab } from '../lineage/address';
import { fullTitle } from '../lineage/model';
import { Glyph } from '../shell/glyphs';
import { Verification } from '../shell/marks';
import { Link } from '../shell/router';
import { Fault, Pending } from '../shell/states';
import { capital, kind, perDay, texts } from '../texts';
import { Facts } from './Facts';
import { History } from './History';

export type Head = NonNullable<AssetHeadQuery['asset']>;

const ALERTS_SHOWN = 2;
const TABS: readonly Tab[] = ['lineage', 'facts', 'history'];

export function AssetPage({ assetKey, state }: { assetKey: string; state: ExploreState }) {
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(AssetHeadDocument, { key: assetKey }, live.graph);
  const asset = data?.asset;

  useEffect(() => {
    if (asset) document.title = texts.titled(fullTitle(asset.id, asset.title));
  }, [asset]);

  if (!data) return <Pending error={error} retry={() => ask({ requestPolicy: 'network-only' })} />;
  if (!asset) return <Fault message={texts.state.unknown(assetKey)} />;
  return (
    <>
      <AssetHead asset={asset} />
      <div className="tab-line">
        <nav className="tabs" aria-label={texts.asset.tabsLabel}>
          {TABS.map((tab) => (
            <Link
              key={tab}
              href={assetAddress(assetKey, { ...state, tab })}
              aria-current={tab === state.tab ? 'page' : undefined}
            >
              {texts.asset.tabs[tab]}
            </Link>
          ))}
        </nav>
        {state.tab === 'lineage' && <Controls assetKey={assetKey} state={state} />}
      </div>
      {state.tab === 'lineage' && <Explore asset={asset} state={state} />}
      {state.tab === 'facts' && <Facts assetKey={asset.id} />}
      {state.tab === 'history' && <History assetKey={asset.id} />}
    </>
  );
}

function AssetHead({ asset }: { asset: Head }) {
  const { alerts } = useOpenAlerts();
  const here = alerts.filter((alert) => placesOf(alert).has(asset.id));
  return (
    <section className="asset-head">
      <p className="kicker">
        <Glyph kind={asset.kind} />
        {capital(kind(asset.kind))}
        {'consumerType' in asset && asset.consumerType
          ? ` (${asset.consumerType.replaceAll('_', ' ')})`
          : ''}
        {asset.container && (
          <>
            {' '}
            {texts.asset.in}{' '}
            <Link href={assetAddress(asset.container.id)}>
              {kind(asset.container.kind)} {asset.container.title}
            </Link>
          </>
        )}
        <span className="quiet"> · {asset.namespace}</span>
      </p>
      <h1>{fullTitle(asset.id, asset.title)}</h1>
      {asset.description && <p className="description">{asset.description}</p>}
      {asset.stub && <p className="description quiet">{texts.asset.stub}</p>}
      <ul className="facts-line">
        <li>
          <span className="quiet">
            {asset.owners.length > 1 ? texts.asset.owners : texts.asset.owner}{' '}
          </span>
          {asset.owners.length === 0
            ? texts.asset.nobody
            : asset.owners.map((owner, place) => (
                <span key={owner.name}>
                  {place > 0 && ', '}
                  {owner.name}
                  {owner.contact && (
                    <>
                      {' '}
                      <Contact text={owner.contact} />
                    </>
                  )}
                </span>
              ))}
        </li>
        {asset.tier !== null && (
          <li className="chip" title={texts.asset.tierHint}>
            {texts.asset.tier(asset.tier)}
          </li>
        )}
        {asset.environment && <li className="chip">{asset.environment}</li>}
        {asset.tags.map((tag) => (
          <li className="chip tag" key={tag}>
            {tag}
          </li>
        ))}
        {asset.usage.calls > 0 && (
          <li>
            {perDay(asset.usage.callsPerDay)}
            {asset.verified !== null && <Verification verified={asset.verified} />}
          </li>
        )}
        {'url' in asset && asset.url && <li className="quiet">{asset.url}</li>}
        {asset.sourceLink && <Source link={asset.sourceLink} />}
      </ul>
      {here.length > 0 && <AlertList alerts={here.slice(0, ALERTS_SHOWN)} none="" />}
      {here.length > ALERTS_SHOWN && (
        <p>
          <Link href="/alerts">{texts.asset.moreAlerts(here.length - ALERTS_SHOWN)}</Link>
        </p>
      )}
    </section>
  );
}

function Contact({ text }: { text: string }) {
  if (/^[^@\s]+@[^@\s]+$/.test(text)) return <a href={`mailto:${text}`}>{text}</a>;
  return <span className="quiet">{text}</span>;
}

function Source({ link }: { link: string }) {
  const isWeb = /^https?:\/\//.test(link);
  return (
    <li>
      {isWeb ? (
        <a href={link} rel="noreferrer">
          {texts.asset.source}
        </a>
      ) : (
        <span className="quiet">{link}</span>
      )}
    </li>
  );
}
