import type { AlertState, WhenFelt } from '../api/generated';
import { STATE, texts, verification, WHEN } from '../texts';
import { Glyph } from './glyphs';

/** When a change is felt: by line style and word. */
export function When({ when }: { when: WhenFelt }) {
  return <span className={`when ${when.toLowerCase().replace('_', '-')}`}>{WHEN[when]}</span>;
}

export function Verification({ verified }: { verified: boolean }) {
  return (
    <span className={verified ? 'seen verified' : 'seen claimed'}>
      <span aria-hidden="true">{verified ? '✓' : '?'}</span> {verification(verified)}
    </span>
  );
}

export function AlertMark({ count }: { count: number }) {
  return (
    <span className="alert-mark">
      <Glyph kind="ALERT" />
      <span className="sr">{texts.nav.openAlerts(count)}</span>
    </span>
  );
}

export function StateMark({ state }: { state: AlertState }) {
  return (
    <span className={`state ${state.toLowerCase()}`}>
      <Glyph kind="ALERT" />
      {STATE[state]}
    </span>
  );
}
