import { useCallback, useDeferredValue, useMemo, useState } from 'react';
import { alertCounts, useOpenAlerts } from '../alerts/open';
import type { Head } from '../asset/AssetPage';
import { assetAddress, type ExploreState } from '../lineage/address';
import { cardsOf, groupsOf, MOST_CARDS } from '../lineage/cards';
import { contracted, EVERYTHING, matches } from '../lineage/filter';
import { fullTitle, type Item, joined } from '../lineage/model';
import { sceneOf, wayIn } from '../lineage/scene';
import { summaryOf } from '../lineage/summary';
import { navigate } from '../shell/router';
import { Fault, Pending } from '../shell/states';
import { impactSentence, sourceSentence, texts } from '../texts';
import { useLineage, useUse } from './answers';
import { Filters } from './Filters';
import { facesOf } from './faces';
import { Graph } from './Graph';
import { ImpactList } from './ImpactList';
import { useWhy, Why } from './Why';

/** The graph, the impact list beside it, and what both are asked for: one filter, one selection. */
export function Explore({ asset, state }: { asset: Head; state: ExploreState }) {
  const start = asset.id;
  const { ways, follow, selected } = state;
  // The headline speaks of what a change reaches, unless only causes are asked for.
  const down = useLineage(start, 'down', follow, ways === 'upstream');
  const up = useLineage(start, 'up', follow, ways === 'downstream');
  const useDown = useUse(start, 'down', follow, ways === 'upstream');
  const useUp = useUse(start, 'up', follow, ways === 'downstream');
  const { alerts } = useOpenAlerts();
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());
  const filter = useDeferredValue(state.filter);

  const update = useCallback(
    (change: Partial<ExploreState>, how: 'push' | 'replace' = 'replace') =>
      navigate(assetAddress(start, { ...state, ...change }), how),
    [start, state],
  );

  const answer = useMemo(
    () => (ways === 'both' && !(up.answer && down.answer) ? null : joined(up.answer, down.answer)),
    [ways, up.answer, down.answer],
  );
  const shown = useMemo(
    () => answer?.items.filter((item) => matches(item, filter)) ?? [],
    [answer, filter],
  );
  const seen = useMemo(() => new Map([...useUp.seen, ...useDown.seen]), [useUp.seen, useDown.seen]);
  const marks = useMemo(() => alertCounts(alerts), [alerts]);
  const why = useWhy(start, answer, selected, follow);
  const startItem = useMemo(() => itemOf(asset), [asset]);

  const isGrouped = shown.length > MOST_CARDS;
  const drawing = useMemo(() => {
    if (!answer) return null;
    const arrows = contracted(answer, new Set(shown.map((item) => item.key)));
    if (isGrouped) return groupsOf(shown, arrows, startItem);
    const keep = new Set([...why.keys, ...(selected ? [selected] : [])]);
    return cardsOf(answer, shown, arrows, startItem, unfolded, keep);
  }, [answer, shown, isGrouped, startItem, unfolded, why.keys, selected]);
  const scene = useMemo(() => (drawing ? sceneOf(drawing) : null), [drawing]);
  const way = useMemo(() => (scene ? wayIn(scene, why.keys) : []), [scene, why.keys]);
  const faces = useMemo(
    () => facesOf([startItem, ...(answer?.items ?? [])], seen, marks),
    [startItem, answer, seen, marks],
  );

  const asked = [...(ways === 'upstream' ? [] : [down]), ...(ways === 'downstream' ? [] : [up])];
  const failed = asked.find((each) => each.problem || (each.error && !each.answer));
  if (failed?.problem) return <Fault message={failed.problem} />;
  if (!answer || !scene)
    return <Pending error={failed?.error} {...(failed && { retry: failed.retry })} />;

  const choose = (key: string | null) => {
    const group = scene.cards.find(({ id }) => id === key)?.card.group;
    if (group) {
      const { kind, owner } = group;
      update({ filter: { ...state.filter, kinds: [kind], owner } }, 'push');
    } else update({ selected: key === start ? null : key });
  };
  const open = (key: string) => {
    if (faces.has(key) && key !== start) navigate(assetAddress(key, { ways, follow }));
  };
  const unnamed =
    sum(useDown.seen.values()) + (asset.kind === 'CONSUMER' ? 0 : asset.unidentified.calls);

  return (
    <>
      <p className="sentence" data-testid="sentence">
        {ways === 'upstream' ? (
          <>
            <code>{fullTitle(start, asset.title)}</code>{' '}
            {sourceSentence(summaryOf(answer.items), answer.complete)}
          </>
        ) : (
          <Sentence
            title={fullTitle(start, asset.title)}
            parts={impactSentence(
              summaryOf(down.answer?.items ?? []),
              follow === 'LOSS',
              down.answer?.complete ?? false,
              { calls: unnamed, all: useDown.all },
            )}
          />
        )}
      </p>
      <Filters
        items={answer.items}
        filter={state.filter}
        onFilter={(change) => update({ filter: { ...state.filter, ...change } })}
      />
      <div className="split">
        <section className="picture" aria-label={texts.asset.tabs.lineage}>
          {isGrouped && (
            <p className="notice" role="note">
              {texts.explore.grouped(shown.length)}
            </p>
          )}
          <Graph
            scene={scene}
            faces={faces}
            start={start}
            selected={selected}
            way={way}
            fitKey={`${start} ${ways} ${follow} ${JSON.stringify(filter)}`}
            label={texts.explore.graph(asset.title)}
            onSelect={choose}
            onOpen={open}
            onUnfold={(id) => setUnfolded((known) => new Set([...known, id]))}
          />
        </section>
        <aside className="beside">
          <ImpactList
            items={answer.items}
            shown={shown}
            filter={state.filter}
            ways={ways}
            faces={faces}
            selected={selected}
            onClear={() => update({ filter: { ...EVERYTHING, historic: state.filter.historic } })}
            onSelect={choose}
            onOpen={open}
          />
          {selected && (
            <Why
              selected={selected}
              face={faces.get(selected)}
              why={why}
              faces={faces}
              onSelect={choose}
              onOpen={() => open(selected)}
            />
          )}
        </aside>
      </div>
      <div className="sr" role="status" aria-live="polite">
        {selected ? texts.explore.selected(faces.get(selected)?.name ?? selected) : ''}
      </div>
    </>
  );
}

function Sentence({ title, parts: [before, after] }: { title: string; parts: [string, string] }) {
  return (
    <>
      {before} <code>{title}</code> {after}
    </>
  );
}

function itemOf(asset: Head): Item {
  return {
    key: asset.id,
    kind: asset.kind,
    title: asset.title,
    namespace: asset.namespace,
    owners: asset.owners.map((owner) => owner.name),
    tags: asset.tags,
    tier: asset.tier,
    hops: 0,
    when: 'NOW',
    partly: false,
    stub: asset.stub,
    side: 'down',
  };
}

function sum(seen: Iterable<{ unidentified: number }>): number {
  let total = 0;
  for (const { unidentified } of seen) total += unidentified;
  return total;
}
