import { useMemo } from 'react';
import { useQuery } from 'urql';
import { type Follow, WhyDocument, type WhyQuery } from '../api/generated';
import { assetAddress } from '../lineage/address';
import { type Answer, fullTitle } from '../lineage/model';
import { Glyph, Icon } from '../shell/glyphs';
import { Link } from '../shell/router';
import { BASIS, kind, perDay, TIMING, texts, verification } from '../texts';
import type { Face } from './faces';

type Paths = Extract<WhyQuery['paths'], { __typename: 'Paths' }>;
type Hop = Paths['paths'][number]['hops'][number];

export interface Reason {
  /** In the direction of the flow; null while it is not known. */
  hops: Hop[] | null;
  isUpstream: boolean;
  problem: string | null;
  /** The assets of the way, in order. */
  keys: string[];
}

/** The shortest way between the start and what is selected. */
export function useWhy(
  start: string,
  answer: Answer | null,
  selected: string | null,
  follow: Follow,
): Reason {
  const item = selected === null ? undefined : answer?.items.find(({ key }) => key === selected);
  const isUpstream = item?.side === 'up';
  const [source, target] = isUpstream ? [selected ?? '', start] : [start, selected ?? ''];
  const [{ data, fetching }] = useQuery({
    query: WhyDocument,
    variables: { source, target, follow },
    pause: !item,
  });
  return useMemo(() => {
    const found = item && !fetching ? data?.paths : undefined;
    const hops = found?.__typename === 'Paths' ? (found.paths[0]?.hops ?? []) : null;
    const keys = hops?.flatMap((hop) => [hop.source.id, hop.target.id]) ?? [];
    return {
      hops,
      isUpstream,
      problem: found && found.__typename !== 'Paths' ? found.message : null,
      keys,
    };
  }, [item, fetching, data, isUpstream]);
}

export function Why(props: {
  selected: string;
  face: Face | undefined;
  why: Reason;
  faces: ReadonlyMap<string, Face>;
  onSelect: (key: string | null) => void;
  onOpen: () => void;
}) {
  const { selected, face, why, onSelect } = props;
  return (
    <section className="why" aria-labelledby="why">
      <header>
        <h2 id="why">
          {face && <Glyph kind={face.kind} />}
          <Link href={assetAddress(selected)} title={texts.why.open}>
            {face?.title ?? selected}
          </Link>
        </h2>
        <button
          type="button"
          className="plain icon-button"
          aria-label={texts.why.close}
          onClick={() => onSelect(null)}
        >
          <Icon name="close" />
        </button>
      </header>
      {!face && <p className="quiet">{texts.explore.unknownSelection}</p>}
      {face && (
        <>
          <h3>{why.isUpstream ? texts.why.headingUp : texts.why.heading}</h3>
          {why.problem && <p className="fault">{why.problem}</p>}
          {why.hops?.length === 0 && <p className="quiet">{texts.why.none}</p>}
          {why.hops && why.hops.length > 0 && <Way hops={why.hops} onSelect={onSelect} />}
        </>
      )}
    </section>
  );
}

/** The flows of a way, each with what proves it. */
export function Way({ hops, onSelect }: { hops: Hop[]; onSelect?: (key: string | null) => void }) {
  return (
    <>
      <p className="quiet">{texts.why.steps(hops.length)}</p>
      <ol className="way" data-testid="way">
        {hops.map((hop, place) => {
          const before = hops[place - 1]?.target.id;
          return (
            <li key={`${hop.source.id} ${hop.target.id}`}>
              {hop.source.id !== before && <End of={hop.source} {...(onSelect && { onSelect })} />}
              <p className={`evidence ${hop.timing.toLowerCase()}`}>
                <Icon name="down" />
                <span>
                  {TIMING[hop.timing]} · {BASIS[hop.basis]}
                  {hop.origins.length > 0
                    ? ` by ${texts.why.saidBy(hop.origins)}`
                    : ` · ${texts.why.implied}`}
                  {hop.via && ` · ${texts.why.via(hop.via.title)}`}
                  {hop.usage.callsPerDay > 0 && ` · ${perDay(hop.usage.callsPerDay)}`}
                  {hop.verified !== null && ` · ${verification(hop.verified)}`}
                </span>
              </p>
              <End of={hop.target} {...(onSelect && { onSelect })} />
            </li>
          );
        })}
      </ol>
    </>
  );
}

function End({ of, onSelect }: { of: Hop['source']; onSelect?: (key: string | null) => void }) {
  return (
    <p className="end">
      <Glyph kind={of.kind} />
      {onSelect ? (
        <button type="button" className="plain" onClick={() => onSelect(of.id)}>
          {fullTitle(of.id, of.title)}
        </button>
      ) : (
        <Link href={assetAddress(of.id)}>{fullTitle(of.id, of.title)}</Link>
      )}
      <span className="quiet">{kind(of.kind)}</span>
    </p>
  );
}
