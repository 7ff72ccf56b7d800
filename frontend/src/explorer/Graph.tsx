import {
  type KeyboardEvent,
  memo,
  type PointerEvent,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { neighbour, type PlacedCard, type Scene, type Step } from '../lineage/scene';
import { Glyph, Icon } from '../shell/glyphs';
import { AlertMark, Verification } from '../shell/marks';
import { capital, kind, kinds, number, texts, WHEN } from '../texts';
import { type Camera, fitted, opened, revealing, type Size, zoomed } from './camera';
import { drawEdges } from './edges';
import type { Face } from './faces';

interface Props {
  scene: Scene;
  faces: ReadonlyMap<string, Face>;
  start: string;
  selected: string | null;
  /** Pairs of the arrows that explain the selection. */
  way: readonly string[];
  /** The camera begins anew when this changes. */
  fitKey: string;
  /** How small the camera may begin, to show all. */
  leastScale?: number;
  label: string;
  onSelect: (key: string | null) => void;
  onOpen: (key: string) => void;
  onUnfold?: (id: string) => void;
}

const STEPS: Partial<Record<string, Step>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};
/** Below this scale only titles are legible, and only they are drawn. */
const NEAR = 0.5;
const LEGIBLE = 0.72;
const ZOOM = 1.25;
const GLIDE_MS = 220;
const MOST_LETTERS = 20;

/** Arrows on a canvas, assets as buttons above it. One stop for the Tab key, arrow keys within. */
export function Graph(props: Props) {
  const {
    scene,
    faces,
    start,
    selected,
    way,
    fitKey,
    leastScale = LEGIBLE,
    onSelect,
    onOpen,
  } = props;
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const world = useRef<HTMLDivElement>(null);
  const camera = useRef<Camera>({ x: 0, y: 0, scale: 1 });
  const view = useRef<Size>({ width: 0, height: 0 });
  const glide = useRef(0);
  const [near, setNear] = useState<string | null>(null);
  const [stop, setStop] = useState(start);

  const draw = useRef(() => {});
  draw.current = () => {
    if (!canvas.current || !frame.current) return;
    const style = getComputedStyle(frame.current);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const emphasis = { way: new Set(way), near };
    drawEdges(canvas.current, scene.arrows, camera.current, view.current, emphasis, {
      edge: color('--edge'),
      near: color('--edge-near'),
      way: color('--accent'),
    });
  };

  const look = useCallback((to: Camera) => {
    camera.current = to;
    if (world.current) {
      world.current.style.transform = `translate(${to.x}px, ${to.y}px) scale(${to.scale})`;
      world.current.classList.toggle('far', to.scale < NEAR);
    }
    draw.current();
  }, []);

  const glideTo = useCallback(
    (to: Camera) => {
      cancelAnimationFrame(glide.current);
      const from = camera.current;
      if (matchMedia('(prefers-reduced-motion: reduce)').matches) return look(to);
      const begin = performance.now();
      const step = (now: number) => {
        const t = Math.min(1, (now - begin) / GLIDE_MS);
        const eased = 1 - (1 - t) ** 3;
        const mix = (a: number, b: number) => a + (b - a) * eased;
        look({ x: mix(from.x, to.x), y: mix(from.y, to.y), scale: mix(from.scale, to.scale) });
        if (t < 1) glide.current = requestAnimationFrame(step);
      };
      glide.current = requestAnimationFrame(step);
    },
    [look],
  );

  const latest = useRef(scene);
  latest.current = scene;
  const openView = useCallback(() => {
    cancelAnimationFrame(glide.current);
    look(opened(latest.current, view.current, latest.current.spots.get(start), leastScale));
  }, [look, start, leastScale]);

  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const resize = () => {
      const isFirst = view.current.width === 0;
      const { clientWidth: width, clientHeight: height } = element;
      view.current = { width, height };
      if (canvas.current) {
        canvas.current.width = Math.round(width * devicePixelRatio);
        canvas.current.height = Math.round(height * devicePixelRatio);
      }
      if (isFirst) openView();
      else draw.current();
    };
    resize();
    const observer = new ResizeObserver(resize);
    observer.observe(element);
    return () => observer.disconnect();
  }, [openView]);

  // The key says when to begin anew.
  useLayoutEffect(openView, [fitKey]);

  // After every render: the scene, the way or what is near may have changed.
  useLayoutEffect(() => draw.current());

  useEffect(() => {
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => draw.current();
    scheme.addEventListener('change', redraw);
    return () => scheme.removeEventListener('change', redraw);
  }, []);

  // What is selected elsewhere comes into view, and is where the Tab key leads.
  useEffect(() => {
    if (selected === null) return;
    const place = latest.current.spots.has(selected)
      ? selected
      : latest.current.cardOf.get(selected);
    const spot = place === undefined ? undefined : latest.current.spots.get(place);
    if (!spot) return;
    setStop(spot.id);
    glideTo(revealing(camera.current, spot, view.current));
  }, [selected, glideTo]);

  // React listens to the wheel passively, and could not keep the page from scrolling.
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const turn = (event: WheelEvent) => {
      event.preventDefault();
      cancelAnimationFrame(glide.current);
      const box = element.getBoundingClientRect();
      const at = { x: event.clientX - box.left, y: event.clientY - box.top };
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      look(zoomed(camera.current, 2 ** (-event.deltaY * lines * 0.0022), at));
    };
    element.addEventListener('wheel', turn, { passive: false });
    return () => element.removeEventListener('wheel', turn);
  }, [look]);

  const drag = useDrag(camera, look, () => onSelect(null));
  const centre = () => ({ x: view.current.width / 2, y: view.current.height / 2 });
  const zoom = (factor: number) => glideTo(zoomed(camera.current, factor, centre()));
  const showAll = () => glideTo(fitted(scene, view.current));

  const focus = (id: string) => {
    const spot = scene.spots.get(id);
    if (!spot) return;
    setStop(id);
    glideTo(revealing(camera.current, spot, view.current));
    world.current
      ?.querySelector<HTMLButtonElement>(`[data-spot="${CSS.escape(id)}"]`)
      ?.focus({ preventScroll: true });
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = (event.target as HTMLElement).dataset.spot;
    const step = STEPS[event.key];
    if (at !== undefined && step) {
      const next = neighbour(scene, at, step);
      if (next !== null) focus(next);
    } else if (at !== undefined && event.key === 'Enter') {
      if (faces.has(at)) onOpen(at);
      else onSelect(at);
    } else if (event.key === 'Escape') onSelect(null);
    else if (event.key === '+' || event.key === '=') zoom(ZOOM);
    else if (event.key === '-') zoom(1 / ZOOM);
    else if (event.key === 'f' || event.key === '0') showAll();
    else return;
    event.preventDefault();
  };

  const stopHere = scene.spots.has(stop) ? stop : start;
  const onWay = useMemo(() => new Set(way.flatMap((pair) => pair.split(' '))), [way]);
  const lit = selected !== null && way.length > 0;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: dragging has its equal in the keys and buttons
    <div
      ref={frame}
      className="graph"
      data-testid="graph"
      onKeyDown={press}
      onPointerDown={drag.begin}
      onPointerMove={drag.move}
      onPointerUp={drag.end}
      onPointerCancel={drag.end}
    >
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: it holds nothing to focus */}
      <canvas ref={canvas} aria-hidden="true" />
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for input */}
      <div
        ref={world}
        className={lit ? 'world lit' : 'world'}
        role="group"
        aria-label={props.label}
      >
        {scene.cards.map((placed) => (
          <CardView
            key={placed.id}
            placed={placed}
            faces={faces}
            start={start}
            selected={selected}
            stop={stopHere}
            onWay={onWay}
            onSelect={onSelect}
            onOpen={onOpen}
            onNear={setNear}
            onStop={setStop}
            onUnfold={props.onUnfold}
          />
        ))}
      </div>
      <Legend scene={scene} />
      <div className="zoom">
        <button type="button" aria-label={texts.explore.zoomIn} onClick={() => zoom(ZOOM)}>
          <Icon name="plus" />
        </button>
        <button type="button" aria-label={texts.explore.zoomOut} onClick={() => zoom(1 / ZOOM)}>
          <Icon name="minus" />
        </button>
        <button type="button" aria-label={texts.explore.fit} onClick={showAll}>
          <Icon name="fit" />
        </button>
      </div>
    </div>
  );
}

const CardView = memo(function CardView(props: {
  placed: PlacedCard;
  faces: ReadonlyMap<string, Face>;
  start: string;
  selected: string | null;
  stop: string;
  onWay: ReadonlySet<string>;
  onSelect: (key: string | null) => void;
  onOpen: (key: string) => void;
  onNear: (key: string | null) => void;
  onStop: (key: string) => void;
  onUnfold: ((id: string) => void) | undefined;
}) {
  const { placed, faces, start, selected, stop, onWay } = props;
  const { card, x, y, width, height } = placed;
  const spot = (id: string) => ({
    'data-spot': id,
    tabIndex: id === stop ? 0 : -1,
    ...(card.group ? {} : { 'aria-pressed': id === selected }),
    onClick: () => props.onSelect(id === selected ? null : id),
    onDoubleClick: () => props.onOpen(id),
    onMouseEnter: () => props.onNear(id),
    onMouseLeave: () => props.onNear(null),
    onFocus: () => {
      props.onNear(id);
      props.onStop(id);
    },
    onBlur: () => props.onNear(null),
  });
  const face = faces.get(card.id);
  const classes = [
    'card',
    card.side === 'start' ? 'start' : '',
    card.group ? 'group' : '',
    face ? face.when.toLowerCase().replace('_', '-') : '',
    onWay.has(card.id) || card.parts.some((part) => onWay.has(part.key)) ? 'on-way' : '',
  ];
  return (
    <div className={classes.filter(Boolean).join(' ')} style={{ left: x, top: y, width, height }}>
      {card.group ? (
        <button type="button" className="head" {...spot(card.id)}>
          <Glyph kind={card.group.kind} />
          <span className="title">
            {number(card.group.keys.length)} {kinds(card.group.kind)}
          </span>
          <span className="second">
            <span className="quiet">{texts.explore.ownedBy(card.group.owner)}</span>
            <GroupAlerts keys={card.group.keys} faces={faces} />
          </span>
        </button>
      ) : (
        face && (
          <button
            type="button"
            className="head"
            aria-label={face.name}
            aria-current={card.id === start ? 'true' : undefined}
            {...spot(card.id)}
          >
            <Glyph kind={face.kind} />
            <span className="title">{ending(face.title)}</span>
            {face.alerts > 0 && <AlertMark count={face.alerts} />}
            <span className="second">
              <span className="quiet">
                {face.rate ? '' : `${capital(kind(face.kind))} · `}
                {face.owner || texts.asset.noOwner}
              </span>
              {face.rate && <span>{face.rate}</span>}
              {face.verified !== null && <Verification verified={face.verified} />}
            </span>
          </button>
        )
      )}
      {card.parts.map((part) => {
        const inner = faces.get(part.key);
        return inner ? (
          <button
            key={part.key}
            type="button"
            className={`part ${onWay.has(part.key) ? 'on-way' : ''}`}
            aria-label={inner.name}
            {...spot(part.key)}
          >
            <span className="title">{ending(inner.part)}</span>
            {inner.alerts > 0 && <AlertMark count={inner.alerts} />}
            {inner.when !== 'NOW' && <span className="quiet">{WHEN[inner.when]}</span>}
          </button>
        ) : null;
      })}
      {card.folded > 0 && (
        <button
          type="button"
          className="part more"
          tabIndex={-1}
          aria-label={texts.explore.unfold(card.folded, face?.title ?? '')}
          onClick={() => props.onUnfold?.(card.id)}
        >
          {texts.explore.folded(card.folded, card.parts.length, face?.kind)}
        </button>
      )}
    </div>
  );
});

/** Of long paths the end says most. */
function ending(title: string): string {
  if (title.length <= MOST_LETTERS || !title.includes('/')) return title;
  const steps = title.split('/');
  let end = steps.pop() ?? '';
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    if (step.length + end.length + 3 > MOST_LETTERS) break;
    end = `${step}/${end}`;
  }
  return `…/${end}`;
}

function GroupAlerts({ keys, faces }: { keys: string[]; faces: ReadonlyMap<string, Face> }) {
  const count = keys.reduce((sum, key) => sum + (faces.get(key)?.alerts ?? 0), 0);
  return count > 0 ? <AlertMark count={count} /> : null;
}

function Legend({ scene }: { scene: Scene }) {
  const has = (test: (arrow: Scene['arrows'][number]['arrow']) => boolean) =>
    scene.arrows.some(({ arrow }) => test(arrow));
  return (
    <ul className="legend" aria-label={texts.explore.legend}>
      {has((arrow) => !arrow.built && !arrow.through) && (
        <li>
          <Line /> {texts.explore.live}
        </li>
      )}
      {has((arrow) => arrow.built && !arrow.through) && (
        <li>
          <Line dash="5 4" /> {texts.explore.built}
        </li>
      )}
      {has((arrow) => arrow.through) && (
        <li>
          <Line dash="1.5 4" /> {texts.explore.through}
        </li>
      )}
    </ul>
  );
}

function Line({ dash }: { dash?: string }) {
  return (
    <svg viewBox="0 0 28 6" aria-hidden="true">
      <path d="M0 3h28" strokeDasharray={dash} />
    </svg>
  );
}

/** One pointer drags, two pinch; a press that goes nowhere on the ground clears the selection. */
function useDrag(camera: { current: Camera }, look: (to: Camera) => void, onGround: () => void) {
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const travelled = useRef(0);

  const begin = (event: PointerEvent<HTMLDivElement>) => {
    if (event.button !== 0 || (event.target as HTMLElement).closest('button')) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
    travelled.current = 0;
  };
  const move = (event: PointerEvent<HTMLDivElement>) => {
    const before = pointers.current.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    pointers.current.set(event.pointerId, now);
    travelled.current += Math.hypot(now.x - before.x, now.y - before.y);
    const other = [...pointers.current].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const box = event.currentTarget.getBoundingClientRect();
      const apart = (point: { x: number; y: number }) =>
        Math.hypot(point.x - other.x, point.y - other.y);
      const at = { x: (now.x + other.x) / 2 - box.left, y: (now.y + other.y) / 2 - box.top };
      look(zoomed(camera.current, apart(now) / Math.max(1, apart(before)), at));
    } else {
      const { x, y, scale } = camera.current;
      look({ scale, x: x + now.x - before.x, y: y + now.y - before.y });
    }
  };
  const end = (event: PointerEvent<HTMLDivElement>) => {
    const isPress = pointers.current.delete(event.pointerId) && pointers.current.size === 0;
    if (isPress && event.type === 'pointerup' && travelled.current < 4) onGround();
  };
  return { begin, move, end };
}
