import { useMemo } from 'react';
import type { AssetKind } from '../api/generated';
import { type Filter, tally } from '../lineage/filter';
import { type Item, KINDS } from '../lineage/model';
import { Glyph } from '../shell/glyphs';
import { kinds, number, texts } from '../texts';

/** The one filter of graph and list. */
export function Filters(props: {
  items: readonly Item[];
  filter: Filter;
  onFilter: (change: Partial<Filter>) => void;
}) {
  const { items, filter, onFilter } = props;
  const byKind = useMemo(
    () => tally(items, filter, { kinds: [] }, (item) => [item.kind]),
    [items, filter],
  );
  const byOwner = useMemo(
    () =>
      tally(items, filter, { owner: null }, (item) => (item.owners.length ? item.owners : [''])),
    [items, filter],
  );
  const historic = useMemo(() => items.filter((item) => item.when === 'HISTORIC').length, [items]);
  const all = useMemo(() => new Set(items.map((item) => item.kind)), [items]);
  const owners = useMemo(
    () => [...new Set(items.flatMap((item) => (item.owners.length ? item.owners : [''])))].sort(),
    [items],
  );
  const toggle = (kind: AssetKind) =>
    onFilter({
      kinds: filter.kinds.includes(kind)
        ? filter.kinds.filter((each) => each !== kind)
        : [...filter.kinds, kind],
    });
  return (
    <section className="filters" aria-label={texts.list.filter}>
      <input
        type="search"
        aria-label={texts.list.text}
        placeholder={texts.list.text}
        value={filter.text}
        onChange={(event) => onFilter({ text: event.target.value })}
      />
      <select
        aria-label={texts.list.owner}
        value={filter.owner === null ? 'any' : `is ${filter.owner}`}
        onChange={({ target }) =>
          onFilter({ owner: target.value === 'any' ? null : target.value.slice('is '.length) })
        }
      >
        <option value="any">{texts.list.anyOwner}</option>
        {owners.map((owner) => (
          <option key={owner} value={`is ${owner}`}>
            {texts.explore.ownedBy(owner)} ({number(byOwner.get(owner) ?? 0)})
          </option>
        ))}
      </select>
      <fieldset className="choice">
        <legend className="sr">{texts.list.when}</legend>
        {(
          [
            [null, texts.list.any],
            ['NOW', texts.list.now],
            ['NEXT_TRAINING', texts.list.next],
          ] as const
        ).map(([when, text]) => (
          <button
            key={text}
            type="button"
            aria-pressed={filter.when === when}
            onClick={() => onFilter({ when })}
          >
            {text}
          </button>
        ))}
      </fieldset>
      {historic > 0 && (
        <label className="check" title={texts.list.historicHint}>
          <input
            type="checkbox"
            checked={filter.historic}
            onChange={(event) => onFilter({ historic: event.target.checked })}
          />
          {texts.list.historic(historic)}
        </label>
      )}
      <fieldset className="chips">
        <legend className="sr">{texts.list.kinds}</legend>
        {KINDS.filter((kind) => all.has(kind)).map((kind) => (
          <button
            key={kind}
            type="button"
            className="chip"
            aria-pressed={filter.kinds.includes(kind)}
            onClick={() => toggle(kind)}
          >
            <Glyph kind={kind} />
            {kinds(kind)} <b>{number(byKind.get(kind) ?? 0)}</b>
          </button>
        ))}
      </fieldset>
    </section>
  );
}
