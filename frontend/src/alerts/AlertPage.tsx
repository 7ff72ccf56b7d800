import { type ReactNode, useEffect, useId, useState } from 'react';
import { useMutation } from 'urql';
import {
  AcknowledgeDocument,
  type AlertState,
  AlertWholeDocument,
  type AlertWholeQuery,
  ResolveDocument,
} from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { assetAddress } from '../lineage/address';
import { fullTitle } from '../lineage/model';
import { Glyph } from '../shell/glyphs';
import { StateMark, Verification, When } from '../shell/marks';
import { Link } from '../shell/router';
import { Fault, Pending, reasonOf } from '../shell/states';
import { ago, figure, kind, moment, number, percent, perDay, REASON, texts } from '../texts';
import { AlertWay } from './AlertWay';

export type Alert = Extract<NonNullable<AlertWholeQuery['asset']>, { rows: number }>;
type Drifted = Alert['drifted'][number];

export function AlertPage({ id }: { id: string }) {
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(
    AlertWholeDocument,
    { id },
    live.alerts + live.graph,
  );
  const alert = data?.asset && 'rows' in data.asset ? data.asset : null;

  useEffect(() => {
    if (alert) document.title = texts.titled(alert.title);
  }, [alert]);

  const again = () => ask({ requestPolicy: 'network-only' });
  if (!data) return <Pending error={error} retry={again} />;
  if (!alert) return <Fault message={texts.state.unknown(id)} />;
  return (
    <div className="page alert">
      <p className="kicker">
        <Link href="/alerts">{texts.alerts.heading}</Link>
      </p>
      <h1>{alert.title}</h1>
      <div className="alert-state">
        <StateMark state={alert.state} />
        <span className="quiet">
          {texts.alerts.opened} <Time at={alert.openedAt} /> · {texts.alerts.lastSeen}{' '}
          <Time at={alert.lastSeen} />
        </span>
        <Actions id={alert.id} state={alert.state} onDone={again} />
      </div>
      <dl className="alert-facts">
        <Fact name={texts.alerts.about}>
          <AssetLink asset={alert.about} />
        </Fact>
        {alert.column && (
          <Fact name={texts.alerts.column}>
            <AssetLink asset={alert.column} />
          </Fact>
        )}
        {alert.deployments.nodes.length > 0 && (
          <Fact name={texts.alerts.deployments}>
            {alert.deployments.nodes.map((deployment) => (
              <AssetLink key={deployment.id} asset={deployment} />
            ))}
          </Fact>
        )}
        {alert.modelVersion && (
          <Fact name={texts.alerts.version}>
            <AssetLink asset={alert.modelVersion} />
          </Fact>
        )}
        <Fact name={texts.alerts.rows}>{number(alert.rows)}</Fact>
      </dl>
      <Section title={texts.alerts.drifted}>
        <p className="quiet">{texts.alerts.driftedLead}</p>
        <DriftTable drifted={alert.drifted} />
      </Section>
      <Section title={texts.alerts.causes}>
        {alert.causes.length === 0 ? (
          <p className="quiet">{texts.alerts.noCauses}</p>
        ) : (
          <ol className="causes">
            {alert.causes.map((cause) => (
              <li key={cause.asset.id}>
                <p>
                  <AssetLink asset={cause.asset} />
                  <span className={`chip reason ${cause.reason.toLowerCase()}`}>
                    {REASON[cause.reason]}
                  </span>
                  <span className="quiet">
                    {cause.hops > 0 && texts.list.hops(cause.hops)}
                    {cause.asset.owners.length > 0 &&
                      ` · ${cause.asset.owners.map((owner) => owner.name).join(', ')}`}
                  </span>
                </p>
                <p>{cause.explanation}</p>
              </li>
            ))}
          </ol>
        )}
      </Section>
      <Section title={texts.alerts.path}>
        <AlertWay alert={alert} />
      </Section>
      <Section title={texts.alerts.consumers} count={alert.consumers.total}>
        <Consumers alert={alert} />
      </Section>
    </div>
  );
}

function Actions({ id, state, onDone }: { id: string; state: AlertState; onDone: () => void }) {
  const [, acknowledge] = useMutation(AcknowledgeDocument);
  const [, resolve] = useMutation(ResolveDocument);
  const [said, setSaid] = useState<{ text: string; isFault: boolean } | null>(null);
  const [busy, setBusy] = useState(false);

  const act = async (mutation: typeof acknowledge | typeof resolve, done: string) => {
    setBusy(true);
    const { data, error } = await mutation({ id });
    setBusy(false);
    const fault = error
      ? reasonOf(error)
      : data && 'message' in data.answer
        ? data.answer.message
        : null;
    setSaid({ text: fault ?? done, isFault: fault !== null });
    onDone();
  };
  return (
    <div className="actions">
      {state === 'OPEN' && (
        <button
          type="button"
          disabled={busy}
          onClick={() => void act(acknowledge, texts.alerts.acknowledged)}
        >
          {texts.alerts.acknowledge}
        </button>
      )}
      {state !== 'RESOLVED' && (
        <button
          type="button"
          className="primary"
          disabled={busy}
          onClick={() => void act(resolve, texts.alerts.resolvedNow)}
        >
          {texts.alerts.resolve}
        </button>
      )}
      <span role="status" className={said?.isFault ? 'fault' : 'quiet'}>
        {said?.text}
      </span>
    </div>
  );
}

function DriftTable({ drifted }: { drifted: Drifted[] }) {
  return (
    <div className="scroll">
      <table className="drift">
        <thead>
          <tr>
            <th scope="col">{texts.alerts.name}</th>
            <th scope="col">{texts.alerts.effect}</th>
            <th scope="col">{texts.alerts.compared}</th>
            <th scope="col">{texts.alerts.tests}</th>
          </tr>
        </thead>
        <tbody>
          {drifted.map((column) => (
            <tr key={`${column.deployment.id} ${column.side} ${column.name}`}>
              <th scope="row">
                {column.asset ? <AssetLink asset={column.asset} /> : column.name}
                <p className="quiet">{texts.alerts.sideOf(column.side, column.deployment.title)}</p>
              </th>
              <td>
                <span className="effect">
                  <span className="gauge" aria-hidden="true">
                    <span style={{ width: `${100 * column.effect}%` }} />
                  </span>
                  {figure(column.effect)}
                </span>
              </td>
              <td>
                <Compared before={momentsOf(column.reference)} now={momentsOf(column.current)} />
              </td>
              <td>
                {column.tests.map((test) => (
                  <p key={test.name}>{texts.alerts.test(test.name, test.statistic, test.pValue)}</p>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface Moments {
  rows: number | null;
  missing: number | null;
  mean: number | null;
  sd: number | null;
}

function momentsOf(json: unknown): Moments {
  const given = (json ?? {}) as Record<string, unknown>;
  const numeric = (name: string) => (typeof given[name] === 'number' ? given[name] : null);
  return {
    rows: numeric('rows'),
    missing: numeric('missing'),
    mean: numeric('mean'),
    sd: numeric('sd'),
  };
}

/** Mean and spread of both, on one scale; the numbers beside it say the same. */
function Compared({ before, now }: { before: Moments; now: Moments }) {
  const both = [before, now].filter((each) => each.mean !== null);
  const least = Math.min(...both.map((each) => (each.mean ?? 0) - 1.5 * (each.sd ?? 0)));
  const most = Math.max(...both.map((each) => (each.mean ?? 0) + 1.5 * (each.sd ?? 0)));
  const at = (value: number) => (most > least ? (100 * (value - least)) / (most - least) : 50);
  return (
    <div className="compared">
      {(
        [
          [texts.alerts.reference, before, 'before'],
          [texts.alerts.current, now, 'now'],
        ] as const
      ).map(([name, { mean, sd, missing, rows }, style]) => (
        <div key={style} className={style}>
          <span className="name">{name}</span>
          {mean !== null && (
            <svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
              <path d={`M${at(mean - (sd ?? 0))} 6H${at(mean + (sd ?? 0))}`} className="spread" />
              <path d={`M${at(mean)} 1v10`} className="mean" />
            </svg>
          )}
          <span>
            {mean !== null && `${figure(mean)} ± ${figure(sd ?? 0)}`}
            {missing !== null && missing > 0 && ` · ${percent(missing)} ${texts.alerts.missing}`}
            {rows !== null && <span className="quiet"> {texts.alerts.ofRows(rows)}</span>}
          </span>
        </div>
      ))}
    </div>
  );
}

function Consumers({ alert }: { alert: Alert }) {
  const { edges, pageInfo } = alert.consumers;
  if (edges.length === 0) return <p className="quiet">{texts.alerts.noConsumers}</p>;
  return (
    <>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">{texts.alerts.consumer}</th>
              <th scope="col">{texts.asset.owners}</th>
              <th scope="col">{texts.alerts.use}</th>
              <th scope="col">{texts.alerts.felt}</th>
            </tr>
          </thead>
          <tbody>
            {edges.map(({ node, when }) => (
              <tr key={node.id}>
                <th scope="row">
                  <AssetLink asset={node} />
                </th>
                <td>
                  {node.owners.length === 0 && <span className="quiet">{texts.asset.noOwner}</span>}
                  {node.owners.map((owner) => (
                    <p key={owner.name}>
                      {owner.name} <span className="quiet">{owner.contact}</span>
                    </p>
                  ))}
                </td>
                <td>
                  {node.usage.calls > 0 ? perDay(node.usage.callsPerDay) : texts.alerts.notSeen}
                  {node.verified !== null && <Verification verified={node.verified} />}
                </td>
                <td>
                  <When when={when} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {pageInfo.hasNextPage && <p className="quiet">{texts.facts.cut(edges.length)}</p>}
    </>
  );
}

function Section(props: { title: string; count?: number; children: ReactNode }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <h2>
        <span id={id}>{props.title}</span>
        {props.count !== undefined && <span className="quiet"> {number(props.count)}</span>}
      </h2>
      {props.children}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function AssetLink({
  asset,
}: {
  asset: { id: string; kind: Alert['about']['kind']; title: string };
}) {
  return (
    <span className="asset-link">
      <Glyph kind={asset.kind} />
      <Link href={assetAddress(asset.id)}>{fullTitle(asset.id, asset.title)}</Link>{' '}
      <span className="quiet">{kind(asset.kind)}</span>
    </span>
  );
}

function Time({ at }: { at: string }) {
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at)}
    </time>
  );
}
