import { type FormEvent, useEffect, useRef, useSyncExternalStore } from 'react';
import { access } from '../api/access';
import { texts } from '../texts';

/** Shown while requests wait for a token. */
export function TokenDialog() {
  const state = useSyncExternalStore(access.subscribe, access.state);
  const dialog = useRef<HTMLDialogElement>(null);

  useEffect(() => {
    if (state === 'idle') dialog.current?.close();
    else if (!dialog.current?.open) dialog.current?.showModal();
  }, [state]);

  const give = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget).get('token');
    if (typeof token === 'string' && token.trim()) access.give(token.trim());
  };

  return (
    <dialog
      ref={dialog}
      aria-labelledby="token-heading"
      onCancel={(event) => event.preventDefault()}
    >
      <form onSubmit={give}>
        <h2 id="token-heading">{texts.token.heading}</h2>
        <p>{texts.token.lead}</p>
        {state === 'refused' && (
          <p role="alert" className="fault">
            {texts.token.refused}
          </p>
        )}
        <label>
          {texts.token.label}
          <input name="token" type="password" autoComplete="off" required />
        </label>
        <button type="submit" className="primary">
          {texts.token.use}
        </button>
      </form>
    </dialog>
  );
}
