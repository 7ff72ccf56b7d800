import { assetAddress } from '../lineage/address';
import { Link } from '../shell/router';
import { figure, texts } from '../texts';

const KEY =
  /^(dataset|column|feature_view|feature|job|run|model|model_version|deployment|consumer):[^:/#]+\/[^:/#]+(#[^:/#]+)?$/;

/** The value of an attribute, in the form that suits it. Whatever it holds is shown as text. */
export function Value({ name, value }: { name: string; value: unknown }) {
  if (name === 'signature' && isSignature(value)) {
    return (
      <>
        <Ends heading={texts.facts.input} ends={value.inputs ?? []} />
        <Ends heading={texts.facts.output} ends={value.outputs ?? []} />
      </>
    );
  }
  if (name === 'owners' && Array.isArray(value)) {
    return (
      <>{value.map((owner) => [owner.name, owner.contact].filter(Boolean).join(' ')).join(', ')}</>
    );
  }
  if (typeof value === 'string') {
    if (KEY.test(value)) return <Link href={assetAddress(value)}>{value}</Link>;
    return name === 'definition' ? <pre>{value}</pre> : <span className="text">{value}</span>;
  }
  if (typeof value !== 'object' || value === null) return <>{String(value)}</>;
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object'))
    return <>{value.join(', ')}</>;
  if (isFlat(value)) {
    return (
      <dl className="pairs">
        {Object.entries(value).map(([key, each]) => (
          <div key={key}>
            <dt>{key.replaceAll('_', ' ')}</dt>
            <dd>{typeof each === 'number' ? figure(each) : <Value name={key} value={each} />}</dd>
          </div>
        ))}
      </dl>
    );
  }
  const text = JSON.stringify(value, null, 2);
  if (text.length < 400) return <pre>{text}</pre>;
  return (
    <details>
      <summary>{texts.facts.shown}</summary>
      <pre>{text}</pre>
    </details>
  );
}

interface End {
  name: string;
  type?: string;
  feature?: string;
  shape?: number[];
}

function Ends({ heading, ends }: { heading: string; ends: End[] }) {
  return (
    <>
      <h3>{heading}</h3>
      <ul className="ends">
        {ends.map((end) => (
          <li key={end.name}>
            {typeof end.feature === 'string' ? (
              <Link href={assetAddress(end.feature)}>{end.name}</Link>
            ) : (
              end.name
            )}{' '}
            <code>
              {end.type}
              {Array.isArray(end.shape) ? ` [${end.shape.join(', ')}]` : ''}
            </code>
          </li>
        ))}
      </ul>
    </>
  );
}

function isSignature(value: unknown): value is { inputs?: End[]; outputs?: End[] } {
  const ends = (value as { inputs?: unknown; outputs?: unknown } | null) ?? {};
  return [ends.inputs ?? [], ends.outputs ?? []].every(
    (list) => Array.isArray(list) && list.every((end) => typeof end?.name === 'string'),
  );
}

function isFlat(value: unknown): value is Record<string, string | number | boolean> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length <= 30 &&
    Object.values(value).every((each) => typeof each !== 'object' || each === null)
  );
}
