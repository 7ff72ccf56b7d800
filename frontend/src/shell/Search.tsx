import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react';
import { useQuery } from 'urql';
import { SearchDocument } from '../api/generated';
import { assetAddress } from '../lineage/address';
import { fullTitle } from '../lineage/model';
import { capital, kind, texts } from '../texts';
import { Glyph, Icon } from './glyphs';
import { navigate } from './router';

const PAUSE_MS = 80;

/** Finds assets while one types. The key `/` leads here from anywhere. */
export function Search({ large = false }: { large?: boolean }) {
  const [text, setText] = useState('');
  const [asked, setAsked] = useState('');
  const [open, setOpen] = useState(large);
  const [active, setActive] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();

  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);

  useEffect(() => {
    const focus = (event: globalThis.KeyboardEvent) => {
      const at = event.target as HTMLElement;
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
      if (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);

  const [{ data, error }] = useQuery({
    query: SearchDocument,
    variables: { text: asked },
    pause: asked === '',
  });
  const hits = asked === '' ? [] : (data?.search.nodes.map(({ node }) => node) ?? []);
  const isOpen = open && asked !== '' && text.trim() !== '';
  const chosen = Math.min(active, hits.length - 1);

  const go = (key: string) => {
    setOpen(large);
    setText('');
    input.current?.blur();
    navigate(assetAddress(key));
  };
  const press = (event: KeyboardEvent) => {
    const last = hits.length - 1;
    if (event.key === 'ArrowDown') setActive(chosen >= last ? 0 : chosen + 1);
    else if (event.key === 'ArrowUp') setActive(chosen <= 0 ? last : chosen - 1);
    else if (event.key === 'Enter' && isOpen && hits[chosen]) go(hits[chosen].id);
    else if (event.key === 'Escape') {
      if (text === '') input.current?.blur();
      setText('');
    } else return;
    event.preventDefault();
  };

  return (
    <search className={large ? 'search large' : 'search'}>
      <Icon name="search" />
      <input
        ref={input}
        type="text"
        role="combobox"
        aria-label={texts.search.label}
        aria-expanded={isOpen && hits.length > 0}
        aria-controls={`${id}-hits`}
        aria-autocomplete="list"
        aria-activedescendant={isOpen && hits[chosen] ? `${id}-${chosen}` : undefined}
        placeholder={texts.search.placeholder}
        autoComplete="off"
        spellCheck={false}
        // biome-ignore lint/a11y/noAutofocus: the home page is for searching
        autoFocus={large}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setActive(0);
          setOpen(true);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={press}
      />
      {text === '' && (
        <span className="key" aria-hidden="true">
          {texts.search.key}
        </span>
      )}
      <div className="hits" hidden={!isOpen}>
        <div id={`${id}-hits`} role="listbox" aria-label={texts.search.label}>
          {hits.map((hit, place) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are those of the combobox
            <div
              key={hit.id}
              id={`${id}-${place}`}
              role="option"
              tabIndex={-1}
              aria-selected={place === chosen}
              onMouseDown={(event) => event.preventDefault()}
              onMouseMove={() => setActive(place)}
              onClick={() => go(hit.id)}
            >
              <Glyph kind={hit.kind} />
              <span className="what">
                <span className="title">{fullTitle(hit.id, hit.title)}</span>
                <span className="quiet">
                  {capital(kind(hit.kind))}
                  {hit.part === null ? '' : ` ${texts.asset.in} ${hit.name}`}
                  {hit.description ? ` · ${hit.description}` : ''}
                </span>
              </span>
              <span className="owner">{hit.owners.map((owner) => owner.name).join(', ')}</span>
            </div>
          ))}
        </div>
        {error && <p className="quiet">{error.message}</p>}
        {!error && data && hits.length === 0 && <p className="quiet">{texts.search.none(asked)}</p>}
      </div>
      <span role="status" className="sr">
        {isOpen && data ? texts.search.found(hits.length) : ''}
      </span>
    </search>
  );
}
