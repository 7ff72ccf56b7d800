import { assetAddress, type ExploreState, type Ways } from '../lineage/address';
import { navigate } from '../shell/router';
import { texts } from '../texts';

/** In which direction to look, and what to follow. */
export function Controls({ assetKey, state }: { assetKey: string; state: ExploreState }) {
  const choose = (change: Partial<ExploreState>) =>
    navigate(assetAddress(assetKey, { ...state, ...change }));
  return (
    <div className="controls">
      <Choice
        label={texts.explore.ways}
        value={state.ways}
        options={[
          ['upstream', texts.explore.upstream],
          ['both', texts.explore.both],
          ['downstream', texts.explore.downstream],
        ]}
        onChoose={(ways: Ways) => choose({ ways })}
      />
      <Choice
        label={texts.explore.follow}
        value={state.follow}
        options={[
          ['VALUES', texts.explore.values, texts.explore.valuesHint],
          ['LOSS', texts.explore.loss, texts.explore.lossHint],
        ]}
        onChoose={(follow: ExploreState['follow']) => choose({ follow })}
      />
    </div>
  );
}

function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [value: T, text: string, hint?: string])[];
  onChoose: (value: T) => void;
}) {
  return (
    <fieldset className="choice">
      <legend className="sr">{props.label}</legend>
      {props.options.map(([value, text, hint]) => (
        <button
          key={value}
          type="button"
          title={hint}
          aria-pressed={value === props.value}
          onClick={() => props.onChoose(value)}
        >
          {text}
        </button>
      ))}
    </fieldset>
  );
}
