import { useMemo, useState } from 'react';
import type { AssetKind } from '../api/generated';
import { useLineage } from '../explorer/answers';
import { facesOf } from '../explorer/faces';
import { Graph } from '../explorer/Graph';
import { assetAddress } from '../lineage/address';
import { cardsOf, groupsOf, MOST_CARDS } from '../lineage/cards';
import { contracted } from '../lineage/filter';
import { type Item, kindOf } from '../lineage/model';
import { sceneOf } from '../lineage/scene';
import { between } from '../lineage/ways';
import { navigate } from '../shell/router';
import { Fault, Pending } from '../shell/states';
import { texts } from '../texts';
import type { Alert } from './AlertPage';
import { alertCounts, useOpenAlerts } from './open';

const HIT: readonly AssetKind[] = ['DEPLOYMENT', 'CONSUMER'];

/** The way from the likeliest cause through what drifted to those who are hit, as a graph. */
export function AlertWay({ alert }: { alert: Alert }) {
  const origin = alert.causes[0]?.asset ?? alert.column ?? alert.about;
  const { answer, problem, error, retry } = useLineage(origin.id, 'down', 'VALUES', false);
  const { alerts } = useOpenAlerts();
  const [selected, setSelected] = useState<string | null>(null);
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set());

  const start = useMemo(() => itemOf(origin), [origin]);
  const items = useMemo(() => {
    if (!answer) return [];
    const ends = new Set([
      ...alert.consumers.edges.map(({ node }) => node.id),
      ...alert.deployments.nodes.map(({ id }) => id),
    ]);
    const kept = between(answer, alert.about.id, ends);
    // Up to what drifted all of it is told, beyond only who is hit.
    return answer.items.filter(
      ({ key, kind }) => kept.before.has(key) || (kept.after.has(key) && HIT.includes(kind)),
    );
  }, [answer, alert]);
  const scene = useMemo(() => {
    if (!answer) return null;
    const arrows = contracted(answer, new Set(items.map((item) => item.key))).filter(
      ({ built }) => !built,
    );
    if (items.length > MOST_CARDS) return sceneOf(groupsOf(items, arrows, start));
    return sceneOf(cardsOf(answer, items, arrows, start, unfolded, new Set([alert.about.id])));
  }, [answer, items, start, unfolded, alert.about.id]);
  const faces = useMemo(() => {
    const seen = new Map(
      alert.consumers.edges.map(({ node }) => [
        node.id,
        { ...node.usage, verified: node.verified, unidentified: 0 },
      ]),
    );
    return facesOf([start, ...items], seen, alertCounts(alerts));
  }, [start, items, alerts, alert.consumers.edges]);

  if (problem) return <Fault message={problem} />;
  if (!scene) return <Pending error={error} retry={retry} />;
  return (
    <div className="picture">
      <Graph
        scene={scene}
        faces={faces}
        start={start.key}
        selected={selected}
        way={[]}
        fitKey={origin.id}
        leastScale={0.56}
        label={texts.alerts.pathLabel}
        onSelect={setSelected}
        onOpen={(key) => navigate(assetAddress(key))}
        onUnfold={(id) => setUnfolded((known) => new Set([...known, id]))}
      />
    </div>
  );
}

function itemOf(asset: { id: string; title: string; owners?: { name: string }[] }): Item {
  return {
    key: asset.id,
    kind: kindOf(asset.id),
    title: asset.title,
    namespace: '',
    owners: asset.owners?.map(({ name }) => name) ?? [],
    tags: [],
    tier: null,
    hops: 0,
    when: 'NOW',
    partly: false,
    stub: false,
    side: 'down',
  };
}
