import type { AssetKind } from '../api/generated';

/** One shape a kind, so that colour is never the only signal. Drawn on a grid of 16. */
const SHAPES: Record<AssetKind, string> = {
  DATASET:
    'M2.5 4c0-1.1 2.5-2 5.5-2s5.5.9 5.5 2-2.5 2-5.5 2-5.5-.9-5.5-2zM2.5 4v8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2',
  COLUMN: 'M2.5 2.500h11v11h-11zM6.2 2.500v11M9.8 2.500v11M6.2 6h3.600M6.2 9.500h3.6',
  FEATURE_VIEW: 'M8 2 14 5 8 8 2 5zM2.5 8 8 10.8 13.5 8M2.5 11 8 13.8 13.5 11',
  FEATURE: 'M8 2 14 8 8 14 2 8z',
  JOB: 'M2.5 2.500h11v11h-11zM6.2 5.200v5.600L11 8z',
  RUN: 'M13.5 8A5.5 5.5 0 1 1 11.9 4.100M12.3 1.700v2.700H9.6',
  MODEL: 'M8 1.8 13.5 5v6L8 14.2 2.5 11V5z',
  MODEL_VERSION: 'M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM8 6.200v3.600M6.2 8h3.6',
  DEPLOYMENT:
    'M2.5 2.500h11v4.500h-11zM2.5 9h11v4.500h-11zM5 4.750h.01M5 11.250h.01M8 4.750h3M8 11.250h3',
  CONSUMER:
    'M8 7.500a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.600zM2.5 14c.4-2.9 2.6-4.3 5.5-4.300s5.1 1.4 5.5 4.3',
  ALERT: 'M8 2 14.5 13.500h-13zM8 6.500v3.300M8 11.700h.01',
};

export function Glyph({ kind }: { kind: AssetKind }) {
  return (
    <svg className={`glyph ${kind.toLowerCase()}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={SHAPES[kind]} />
    </svg>
  );
}

const ICONS = {
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14',
  plus: 'M8 3v10M3 8h10',
  minus: 'M3 8h10',
  fit: 'M2.5 6V2.500H6M10 2.500h3.500V6M13.5 10v3.500H10M6 13.500H2.500V10',
  close: 'M3.5 3.500l9 9M12.5 3.500l-9 9',
  down: 'M8 3v10M4 9l4 4 4-4',
};

export function Icon({ name }: { name: keyof typeof ICONS }) {
  return (
    <svg className="glyph icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  );
}
