/** Draws arrows on a canvas: solid felt now, dashed at the next training, dotted by way of hidden assets. */
import type { Point } from '../lineage/layout';
import { pairOf } from '../lineage/model';
import type { PlacedArrow } from '../lineage/scene';
import type { Camera, Size } from './camera';

export interface Emphasis {
  /** Pairs of the way shown; the others step back. */
  way: ReadonlySet<string>;
  /** The spot pointed at or focused, whose arrows stand out. */
  near: string | null;
}

export interface Colors {
  edge: string;
  near: string;
  way: string;
}

const HEAD = 7;

export function drawEdges(
  canvas: HTMLCanvasElement,
  arrows: readonly PlacedArrow[],
  camera: Camera,
  view: Size,
  emphasis: Emphasis,
  colors: Colors,
): void {
  const pen = canvas.getContext('2d');
  if (!pen) return;
  const density = devicePixelRatio || 1;
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  pen.setTransform(
    density * camera.scale,
    0,
    0,
    density * camera.scale,
    density * camera.x,
    density * camera.y,
  );
  pen.lineJoin = 'round';
  const rank = (each: PlacedArrow) => (isWay(each, emphasis) ? 2 : isNear(each, emphasis) ? 1 : 0);
  for (const wanted of [0, 1, 2]) {
    for (const each of arrows) {
      if (rank(each) !== wanted || !isInView(each.route, camera, view)) continue;
      const color = [colors.edge, colors.near, colors.way][wanted] ?? colors.edge;
      pen.globalAlpha = wanted === 0 && emphasis.way.size > 0 ? 0.35 : 1;
      pen.strokeStyle = color;
      pen.fillStyle = color;
      pen.lineWidth = wanted === 2 ? 2.6 : wanted === 1 ? 2 : 1.3;
      pen.setLineDash(dashOf(each));
      trace(pen, each.route);
      pen.stroke();
      pen.setLineDash([]);
      head(pen, each.route);
    }
  }
  pen.globalAlpha = 1;
}

function dashOf({ arrow }: PlacedArrow): number[] {
  if (arrow.through) return [1.5, 5];
  return arrow.built ? [7, 5] : [];
}

function isWay({ arrow }: PlacedArrow, { way }: Emphasis): boolean {
  return way.has(pairOf(arrow));
}

function isNear({ arrow }: PlacedArrow, { near }: Emphasis): boolean {
  return near !== null && (arrow.source === near || arrow.target === near);
}

function isInView(route: readonly Point[], camera: Camera, view: Size): boolean {
  const [xs, ys] = [route.map(({ x }) => x), route.map(({ y }) => y)];
  const left = Math.min(...xs) * camera.scale + camera.x;
  const right = Math.max(...xs) * camera.scale + camera.x;
  const top = Math.min(...ys) * camera.scale + camera.y;
  const bottom = Math.max(...ys) * camera.scale + camera.y;
  return right >= -50 && left <= view.width + 50 && bottom >= -50 && top <= view.height + 50;
}

function trace(pen: CanvasRenderingContext2D, route: readonly Point[]): void {
  const [first, ...rest] = route;
  if (!first) return;
  pen.beginPath();
  pen.moveTo(first.x, first.y);
  let from = first;
  for (const to of rest) {
    if (to.y === from.y) pen.lineTo(to.x, to.y);
    else {
      const reach = Math.max(26, Math.abs(to.x - from.x) / 2) * (to.x >= from.x ? 1 : -1);
      pen.bezierCurveTo(from.x + reach, from.y, to.x - reach, to.y, to.x, to.y);
    }
    from = to;
  }
}

function head(pen: CanvasRenderingContext2D, route: readonly Point[]): void {
  const [tip, before] = [route.at(-1), route.at(-2)];
  if (!tip || !before) return;
  const way = tip.x >= before.x ? 1 : -1;
  pen.beginPath();
  pen.moveTo(tip.x, tip.y);
  pen.lineTo(tip.x - way * HEAD, tip.y - HEAD * 0.55);
  pen.lineTo(tip.x - way * HEAD, tip.y + HEAD * 0.55);
  pen.closePath();
  pen.fill();
}
