import type { AssetKind } from '../api/generated';
import {
  AssetFactsDocument,
  type AssetFactsQuery,
  AssetFlowsDocument,
  type FlowLineFragment,
} from '../api/generated';
import { useFreshQuery, useLive } from '../api/live';
import { assetAddress } from '../lineage/address';
import { fullTitle, shortTitle } from '../lineage/model';
import { Glyph } from '../shell/glyphs';
import { Verification } from '../shell/marks';
import { Link } from '../shell/router';
import { Pending } from '../shell/states';
import { ago, BASIS, capital, figure, moment, number, TIMING, texts } from '../texts';
import { Value } from './Value';

type Asset = NonNullable<AssetFactsQuery['asset']>;

export function Facts({ assetKey }: { assetKey: string }) {
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(AssetFactsDocument, { key: assetKey }, live.graph);
  const asset = data?.asset;
  if (!asset) return <Pending error={error} retry={() => ask({ requestPolicy: 'network-only' })} />;
  return (
    <div className="facts">
      <Attributes asset={asset} />
      {'aliases' in asset && asset.aliases.length > 0 && (
        <section>
          <h2>{texts.facts.aliases}</h2>
          <ul className="pairs">
            {asset.aliases.map(({ name, version }) => (
              <li key={name}>
                <code>@{name}</code> → <Link href={assetAddress(version.id)}>{version.title}</Link>
              </li>
            ))}
          </ul>
        </section>
      )}
      <Parts asset={asset} />
      <Usage asset={asset} />
      <Flows assetKey={assetKey} />
    </div>
  );
}

function Attributes({ asset }: { asset: Asset }) {
  return (
    <section>
      <h2>{texts.facts.attributes}</h2>
      {asset.attributes.length === 0 ? (
        <p className="quiet">{texts.facts.none}</p>
      ) : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">{texts.facts.name}</th>
                <th scope="col">{texts.facts.value}</th>
                <th scope="col">{texts.facts.says}</th>
              </tr>
            </thead>
            <tbody>
              {asset.attributes.map((attribute) => (
                <tr key={attribute.name}>
                  <th scope="row">{capital(attribute.name.replaceAll('_', ' '))}</th>
                  <td>
                    <Value name={attribute.name} value={attribute.value} />
                    {attribute.disagreeing.map((claim) => (
                      <p className="disagrees" key={claim.origin}>
                        {texts.facts.disagrees(JSON.stringify(claim.value), claim.origin)}
                      </p>
                    ))}
                  </td>
                  <td>
                    {attribute.claims.map((claim) => (
                      <p key={claim.origin}>
                        {claim.origin} <span className="quiet">{BASIS[claim.basis]}, </span>
                        <Time at={claim.since} />
                      </p>
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Parts({ asset }: { asset: Asset }) {
  const heading = texts.facts.parts[asset.kind];
  const parts = asset.parts.nodes;
  if (!heading || parts.length === 0) return null;
  const has = (field: string) =>
    parts.some((part) => field in part && part[field as 'id'] !== null);
  const metrics = [
    ...new Set(
      parts.flatMap((part) => ('metrics' in part ? Object.keys(numbersOf(part.metrics)) : [])),
    ),
  ];
  return (
    <section>
      <h2>
        {heading} <span className="quiet">{number(parts.length)}</span>
      </h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">{texts.facts.part}</th>
              {has('type') && <th scope="col">{texts.facts.type}</th>}
              {metrics.map((name) => (
                <th scope="col" className="number" key={name}>
                  {name.replaceAll('_', ' ')}
                </th>
              ))}
              {(has('description') || has('definition')) && (
                <th scope="col">{texts.facts.about}</th>
              )}
            </tr>
          </thead>
          <tbody>
            {parts.map((part) => (
              <tr key={part.id}>
                <th scope="row">
                  <Link href={assetAddress(part.id)}>{shortTitle(part.id, part.title)}</Link>
                </th>
                {has('type') && <td>{'type' in part && part.type && <code>{part.type}</code>}</td>}
                {metrics.map((name) => (
                  <td className="number" key={name}>
                    {'metrics' in part && name in numbersOf(part.metrics)
                      ? figure(numbersOf(part.metrics)[name] ?? 0)
                      : ''}
                  </td>
                ))}
                {(has('description') || has('definition')) && (
                  <td>
                    {part.description}
                    {'definition' in part && part.definition && <code>{part.definition}</code>}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {asset.parts.pageInfo.hasNextPage && <p className="quiet">{texts.facts.cut(parts.length)}</p>}
    </section>
  );
}

function numbersOf(metrics: unknown): Record<string, number> {
  if (typeof metrics !== 'object' || metrics === null) return {};
  return Object.fromEntries(
    Object.entries(metrics).filter(([, value]) => typeof value === 'number'),
  );
}

function Usage({ asset }: { asset: Asset }) {
  const { usage, unidentified } = asset;
  if (!USED.includes(asset.kind)) return null;
  if (usage.calls === 0) {
    return (
      <section>
        <h2>{texts.facts.usage}</h2>
        <p className="quiet">{texts.facts.usageNone}</p>
      </section>
    );
  }
  const most = Math.max(...usage.days.map((day) => day.calls));
  return (
    <section>
      <h2>{texts.facts.usage}</h2>
      <p>
        {texts.facts.usageSum(usage.calls, usage.errors)}
        {unidentified.calls > 0 && `; ${texts.facts.unnamed(unidentified.calls)}`}
      </p>
      <p className="quiet">
        {usage.firstSeen && `${texts.facts.firstSeen} ${moment(usage.firstSeen)}`}
        {usage.lastSeen && ` · ${texts.facts.lastSeen} ${ago(usage.lastSeen)}`}
      </p>
      <table className="days">
        <thead>
          <tr>
            <th scope="col">{texts.facts.day}</th>
            <th scope="col">{texts.facts.calls}</th>
          </tr>
        </thead>
        <tbody>
          {usage.days.map((day) => (
            <tr key={day.date}>
              <th scope="row">{day.date}</th>
              <td>
                <span className="bar-of" style={{ width: `${(100 * day.calls) / most}%` }} />
                {number(day.calls)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const USED: readonly AssetKind[] = ['DEPLOYMENT', 'CONSUMER', 'FEATURE', 'FEATURE_VIEW'];

function Flows({ assetKey }: { assetKey: string }) {
  const live = useLive();
  const [{ data, error }, ask] = useFreshQuery(AssetFlowsDocument, { key: assetKey }, live.graph);
  const asset = data?.asset;
  if (!asset) return <Pending error={error} retry={() => ask({ requestPolicy: 'network-only' })} />;
  return (
    <>
      <FlowTable
        heading={texts.facts.flowsIn}
        end={texts.facts.from}
        isCut={asset.flowsIn.pageInfo.hasNextPage}
        flows={asset.flowsIn.nodes.map((flow) => ({ ...flow, at: flow.source }))}
      />
      <FlowTable
        heading={texts.facts.flowsOut}
        end={texts.facts.to}
        isCut={asset.flowsOut.pageInfo.hasNextPage}
        flows={asset.flowsOut.nodes.map((flow) => ({ ...flow, at: flow.target }))}
      />
    </>
  );
}

type FlowAt = FlowLineFragment & { at: { id: string; kind: AssetKind; title: string } };

function FlowTable(props: { heading: string; end: string; isCut: boolean; flows: FlowAt[] }) {
  const { heading, end, isCut, flows } = props;
  const isSeen = flows.some((flow) => flow.usage.calls > 0);
  return (
    <section>
      <h2>
        {heading} <span className="quiet">{number(flows.length)}</span>
      </h2>
      {flows.length === 0 ? (
        <p className="quiet">{texts.facts.noFlows}</p>
      ) : (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">{end}</th>
                <th scope="col">{texts.facts.timing}</th>
                <th scope="col">{texts.facts.basis}</th>
                {isSeen && (
                  <>
                    <th scope="col" className="number">
                      {texts.facts.calls}
                    </th>
                    <th scope="col">{texts.facts.seen}</th>
                  </>
                )}
              </tr>
            </thead>
            <tbody>
              {flows.map((flow) => (
                <tr key={`${flow.at.id} ${flow.via?.id}`}>
                  <th scope="row">
                    <Glyph kind={flow.at.kind} />
                    <Link href={assetAddress(flow.at.id)}>
                      {fullTitle(flow.at.id, flow.at.title)}
                    </Link>
                  </th>
                  <td>{TIMING[flow.timing]}</td>
                  <td>
                    {BASIS[flow.basis]}{' '}
                    <span className="quiet">
                      {flow.origins.length > 0 ? texts.why.saidBy(flow.origins) : texts.why.implied}
                      {flow.via && `, ${texts.why.via(flow.via.title)}`}
                    </span>
                    {flow.verified !== null && <Verification verified={flow.verified} />}
                  </td>
                  {isSeen && (
                    <>
                      <td className="number">{flow.usage.calls > 0 && number(flow.usage.calls)}</td>
                      <td>{flow.usage.lastSeen && <Time at={flow.usage.lastSeen} />}</td>
                    </>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {isCut && <p className="quiet">{texts.facts.cut(flows.length)}</p>}
    </section>
  );
}

function Time({ at }: { at: string }) {
  return (
    <time className="quiet" dateTime={at} title={moment(at)}>
      {ago(at)}
    </time>
  );
}
