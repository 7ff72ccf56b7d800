/** Where one looks at a scene from: `scale`, and where the scene's origin lies on the screen. No React here. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Size {
  width: number;
  height: number;
}

const MARGIN = 24;
const LEAST = 0.12;
const MOST = 2;

export const bounded = (scale: number) => Math.min(MOST, Math.max(LEAST, scale));

/** All of the scene in view. */
export function fitted(scene: Size, view: Size): Camera {
  const scale = bounded(
    Math.min(
      1.1,
      (view.width - 2 * MARGIN) / Math.max(1, scene.width),
      (view.height - 2 * MARGIN) / Math.max(1, scene.height),
    ),
  );
  return {
    scale,
    x: (view.width - scene.width * scale) / 2,
    y: (view.height - scene.height * scale) / 2,
  };
}

/** All of the scene if that is no smaller than the scale `least`; else as much as goes in, around the start. */
export function opened(scene: Size, view: Size, start: Box | undefined, least: number): Camera {
  const all = fitted(scene, view);
  if (all.scale >= least || !start) return all;
  const scale = least;
  const x = inner(view.width, scene.width * scale, (start.x + start.width / 2) * scale);
  const y = inner(view.height, scene.height * scale, (start.y + start.height / 2) * scale);
  return { scale, x, y };
}

/** Where a side of the scene begins, such that `middle` is as near to the view's as leaves no room unused. */
function inner(view: number, scene: number, middle: number): number {
  if (scene <= view - 2 * MARGIN) return (view - scene) / 2;
  return Math.min(MARGIN, Math.max(view - MARGIN - scene, view / 2 - middle));
}

export function zoomed(camera: Camera, factor: number, at: { x: number; y: number }): Camera {
  const scale = bounded(camera.scale * factor);
  const ratio = scale / camera.scale;
  return { scale, x: at.x - (at.x - camera.x) * ratio, y: at.y - (at.y - camera.y) * ratio };
}

/** Moved as little as brings the box into view. */
export function revealing(camera: Camera, box: Box, view: Size): Camera {
  const { scale } = camera;
  return {
    scale,
    x: moved(camera.x, box.x * scale, box.width * scale, view.width),
    y: moved(camera.y, box.y * scale, box.height * scale, view.height),
  };
}

function moved(origin: number, begin: number, size: number, view: number): number {
  if (origin + begin < MARGIN) return MARGIN - begin;
  if (origin + begin + size > view - MARGIN) return view - MARGIN - begin - size;
  return origin;
}
