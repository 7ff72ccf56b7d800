import type { CombinedError } from 'urql';
import { texts } from '../texts';

/** What stands in the place of an answer that is not there yet, or not to be had. */
export function Pending({
  error,
  retry,
}: {
  error?: CombinedError | undefined;
  retry?: () => void;
}) {
  if (!error) return <p className="pending">{texts.state.loading}</p>;
  return <Fault message={reasonOf(error)} {...(retry && { retry })} />;
}

export function Fault({ message, retry }: { message: string; retry?: () => void }) {
  return (
    <div role="alert" className="fault">
      <p>
        <strong>{texts.state.failed}</strong> {message}
      </p>
      {retry && (
        <button type="button" onClick={retry}>
          {texts.state.retry}
        </button>
      )}
    </div>
  );
}

export function reasonOf(error: CombinedError): string {
  return error.graphQLErrors[0]?.message ?? error.networkError?.message ?? error.message;
}
