import { useState } from 'react';
import { AssetHistoryDocument, type AssetHistoryQuery } from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { Pending } from '../shell/states';
import { ago, moment, texts, VERB } from '../texts';

type Revision = NonNullable<AssetHistoryQuery['asset']>['history']['nodes'][number];

const SHOWN = 12;

/** What changed about an asset and the flows at it, newest first. */
export function History({ assetKey }: { assetKey: string }) {
  return (
    <ol className="history">
      <Page assetKey={assetKey} after={null} />
    </ol>
  );
}

function Page({ assetKey, after }: { assetKey: string; after: string | null }) {
  const [goesOn, setGoesOn] = useState(false);
  const live = useLive();
  const variables = { key: assetKey, after };
  const [{ data, error }, ask] = useFreshQuery(AssetHistoryDocument, variables, live.graph);
  const history = data?.asset?.history;
  if (!history) {
    return (
      <li>
        <Pending error={error} retry={() => ask({ requestPolicy: 'network-only' })} />
      </li>
    );
  }
  const { hasNextPage, endCursor } = history.pageInfo;
  return (
    <>
      {after === null && history.nodes.length === 0 && (
        <li className="quiet">{texts.history.none}</li>
      )}
      {history.nodes.map((revision) => (
        <Entry key={revision.number} revision={revision} assetKey={assetKey} />
      ))}
      {hasNextPage && !goesOn && (
        <li>
          <button type="button" onClick={() => setGoesOn(true)}>
            {texts.history.more}
          </button>
        </li>
      )}
      {hasNextPage && goesOn && <Page assetKey={assetKey} after={endCursor} />}
    </>
  );
}

function Entry({ revision, assetKey }: { revision: Revision; assetKey: string }) {
  const about = revision.changes.filter(({ subject }) =>
    subject.split(/ -> | via /).includes(assetKey),
  );
  const changes = about.length > 0 ? about : revision.changes;
  return (
    <li className="revision">
      <p>
        <time dateTime={revision.at} title={moment(revision.at)}>
          {ago(revision.at)}
        </time>{' '}
        <span className="quiet">
          {texts.history.by(revision.actor)} · {texts.history.revision(revision.number)}
        </span>
      </p>
      <ul>
        {changes.slice(0, SHOWN).map((change) => (
          <li key={`${change.subject} ${change.origin}`}>
            <span className={`verb ${change.verb.toLowerCase()}`}>{VERB[change.verb]}</span>{' '}
            <code>{change.subject.replace(' -> ', ' → ')}</code>{' '}
            <span className="quiet">{change.origin}</span>
          </li>
        ))}
        {changes.length > SHOWN && (
          <li className="quiet">{texts.history.changes(changes.length - SHOWN)}</li>
        )}
      </ul>
    </li>
  );
}
