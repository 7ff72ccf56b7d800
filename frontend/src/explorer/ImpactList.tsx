import { useEffect, useMemo, useRef, useState } from 'react';
import type { Ways } from '../lineage/address';
import { type Filter, isFiltering } from '../lineage/filter';
import { type Item, KINDS, type Side } from '../lineage/model';
import { Glyph } from '../shell/glyphs';
import { AlertMark, Verification, When } from '../shell/marks';
import { capital, kinds, number, texts } from '../texts';
import type { Face } from './faces';

const AT_FIRST = 200;

interface Props {
  items: readonly Item[];
  shown: readonly Item[];
  filter: Filter;
  ways: Ways;
  faces: ReadonlyMap<string, Face>;
  selected: string | null;
  onClear: () => void;
  onSelect: (key: string | null) => void;
  onOpen: (key: string) => void;
}

/** All that the graph shows, as a list: its equivalent for those who do not see it. */
export function ImpactList(props: Props) {
  const { items, shown, ways } = props;
  const sides: Side[] = ways === 'both' ? ['down', 'up'] : ways === 'upstream' ? ['up'] : ['down'];
  return (
    <section className="impact" aria-label={texts.list.label}>
      <p className="count" role="status" data-testid="count">
        {texts.list.shown(shown.length, items.length)}
        {isFiltering(props.filter) && (
          <button type="button" className="plain" onClick={props.onClear}>
            {texts.explore.clear}
          </button>
        )}
      </p>
      <div className="rows">
        {sides.map((side) => (
          <SideList
            key={side}
            {...props}
            side={side}
            isHeaded={ways === 'both'}
            hasAny={items.some((item) => item.side === side)}
          />
        ))}
      </div>
    </section>
  );
}

function SideList(props: Props & { side: Side; isHeaded: boolean; hasAny: boolean }) {
  const { shown, side, isHeaded, hasAny, faces, selected, onSelect, onOpen } = props;
  const [most, setMost] = useState(AT_FIRST);
  const mine = useMemo(() => {
    const place = new Map(KINDS.map((kind, index) => [kind, index]));
    const rank = (item: Item) => (place.get(item.kind) ?? 0) * 1e6 + item.hops;
    return shown.filter((item) => item.side === side).sort((a, b) => rank(a) - rank(b));
  }, [shown, side]);
  const heading = side === 'down' ? texts.explore.downstream : texts.explore.upstream;
  const Heading = isHeaded ? 'h3' : 'h2';
  const none = side === 'down' ? texts.list.noneDownstream : texts.list.noneUpstream;
  const place = selected === null ? -1 : mine.findIndex((item) => item.key === selected);
  const listed = mine.slice(0, Math.max(most, place + 1));
  return (
    <>
      {isHeaded && (
        <h2>
          {heading} <span className="quiet">{number(mine.length)}</span>
        </h2>
      )}
      {mine.length === 0 && <p className="quiet none">{hasAny ? texts.explore.noneLeft : none}</p>}
      {KINDS.map((kind) => {
        const rows = listed.filter((item) => item.kind === kind);
        const whole = mine.filter((item) => item.kind === kind).length;
        if (rows.length === 0) return null;
        return (
          <section key={kind}>
            <Heading className="kind">
              {capital(kinds(kind))} <span className="quiet">{number(whole)}</span>
            </Heading>
            <ul>
              {rows.map((item) => {
                const face = faces.get(item.key);
                return face ? (
                  <Row
                    key={item.key}
                    face={face}
                    isSelected={item.key === selected}
                    onSelect={onSelect}
                    onOpen={onOpen}
                  />
                ) : null;
              })}
            </ul>
          </section>
        );
      })}
      {mine.length > listed.length && (
        <button type="button" className="plain" onClick={() => setMost(listed.length + AT_FIRST)}>
          {texts.list.more(mine.length - listed.length)}
        </button>
      )}
    </>
  );
}

function Row(props: {
  face: Face;
  isSelected: boolean;
  onSelect: (key: string | null) => void;
  onOpen: (key: string) => void;
}) {
  const { face, isSelected } = props;
  const row = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const list = row.current?.closest('.rows');
    if (!isSelected || !list) return;
    // Within the list alone, now and when the explanation beneath takes some of its room: the page stays where it is.
    const reveal = () => {
      if (!row.current || list.scrollHeight <= list.clientHeight) return;
      const [here, view] = [row.current.getBoundingClientRect(), list.getBoundingClientRect()];
      if (here.top < view.top || here.bottom > view.bottom) {
        list.scrollTop += here.top - view.top - view.height / 3;
      }
    };
    const observer = new ResizeObserver(reveal);
    observer.observe(list);
    return () => observer.disconnect();
  }, [isSelected]);
  return (
    <li>
      <button
        ref={row}
        type="button"
        className="row"
        aria-pressed={isSelected}
        data-key={face.key}
        onClick={() => props.onSelect(isSelected ? null : face.key)}
        onDoubleClick={() => props.onOpen(face.key)}
      >
        <Glyph kind={face.kind} />
        <span className="what">
          <span className="title">
            {face.title}
            {face.alerts > 0 && <AlertMark count={face.alerts} />}
          </span>
          <span className="quiet">
            {face.within && `${texts.asset.in} ${face.within} · `}
            {face.owner || texts.asset.noOwner}
            {face.calls && ` · ${face.calls}`}
            {face.verified !== null && <Verification verified={face.verified} />}
            {face.partly && ` · ${texts.list.partly}`}
          </span>
        </span>
        <When when={face.when} />
      </button>
    </li>
  );
}
