import { expect, test } from 'vitest';
import { contracted, EVERYTHING, matches } from './filter';
import type { Answer, Arrow, Item } from './model';
import { between } from './ways';

function item(key: string, change: Partial<Item> = {}): Item {
  return {
    key,
    kind: key.slice(0, key.indexOf(':')).toUpperCase() as Item['kind'],
    title: key.slice(key.indexOf('/') + 1),
    namespace: 'w',
    owners: [],
    tags: [],
    tier: null,
    hops: 1,
    when: 'NOW',
    partly: false,
    stub: false,
    side: 'down',
    ...change,
  };
}

const arrow = (source: string, target: string, built = false): Arrow => ({
  source,
  target,
  built,
  through: false,
});

const [A, JOB, T, X, MODEL, DEPLOYED, SHOP, BOARD] = [
  'column:w/source#a',
  'job:w/J',
  'dataset:w/T',
  'column:w/T#x',
  'model:w/M',
  'deployment:w/D',
  'consumer:w/shop',
  'consumer:w/board',
];
const answer: Answer = {
  start: A,
  complete: true,
  items: [item(JOB), item(T), item(X), item(MODEL), item(DEPLOYED), item(SHOP), item(BOARD)],
  arrows: [
    arrow(A, JOB),
    arrow(JOB, T),
    arrow(X, MODEL, true),
    arrow(MODEL, DEPLOYED),
    arrow(DEPLOYED, SHOP),
    arrow(T, BOARD),
  ],
};

test('what a filter hides is passed through, and stays baked where it was', () => {
  expect(contracted(answer, new Set([SHOP, BOARD]))).toEqual([
    { source: A, target: BOARD, built: false, through: true },
    { source: A, target: SHOP, built: true, through: true },
  ]);
});

test('nothing hidden, nothing contracted', () => {
  expect(contracted(answer, new Set(answer.items.map(({ key }) => key)))).toBe(answer.arrows);
});

test('what is historic is shown only when asked for', () => {
  const old = item('run:w/J#1', { when: 'HISTORIC' });
  expect(matches(old, EVERYTHING)).toBe(false);
  expect(matches(old, { ...EVERYTHING, historic: true })).toBe(true);
});

test('every word of the text has to be found, in names, owners or tags', () => {
  const shop = item(SHOP, { owners: ['Sales'], tags: ['web'] });
  expect(matches(shop, { ...EVERYTHING, text: 'sales SHOP' })).toBe(true);
  expect(matches(shop, { ...EVERYTHING, text: 'sales ship' })).toBe(false);
});

test('the empty owner is nobody', () => {
  expect(matches(item(SHOP), { ...EVERYTHING, owner: '' })).toBe(true);
  expect(matches(item(SHOP, { owners: ['sales'] }), { ...EVERYTHING, owner: '' })).toBe(false);
});

test('between a cause and those it hits lie live ways alone', () => {
  const { before, after } = between(answer, T, new Set([SHOP, BOARD]));
  expect(before).toEqual(new Set([T, JOB, A]));
  expect(after).toEqual(new Set([T, BOARD]));
});
