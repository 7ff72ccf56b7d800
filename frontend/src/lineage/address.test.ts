import { expect, test } from 'vitest';
import { assetAddress, type ExploreState, placeOf } from './address';

function opened(address: string) {
  const url = new URL(address, 'http://localhost');
  return placeOf(url.pathname, url.search);
}

test.each([
  'column:warehouse/lab.assays#flavanoids',
  'dataset:postgres%3A%2F%2Fhost%3A5432/public.orders',
  'column:w/T#a%2Eb.c',
  'dataset:w/..',
  'dataset:w/%C3%A9t%C3%A9%20%26%3F',
])('the address of %s leads back to it', (key) => {
  const place = opened(assetAddress(key));
  expect(place).toMatchObject({ page: 'asset', key });
});

test('a key stays legible in its address', () => {
  expect(assetAddress('column:warehouse/lab.assays#hue')).toBe(
    '/n/column:warehouse/lab.assays%23hue',
  );
});

test('all that is chosen stands in the address', () => {
  const state: ExploreState = {
    ways: 'downstream',
    follow: 'LOSS',
    tab: 'facts',
    selected: 'consumer:w/shop',
    filter: { kinds: ['CONSUMER'], owner: '', when: 'NEXT_TRAINING', historic: true, text: 'a b' },
  };
  expect(opened(assetAddress('dataset:w/T', state))).toEqual({
    page: 'asset',
    key: 'dataset:w/T',
    state,
  });
});

test('an address that says nothing of a choice leaves it as it is at first, and without a trace', () => {
  const place = opened('/n/dataset:w/T?when=tomorrow&kind=nothing');
  if (place.page !== 'asset') throw new Error(place.page);
  expect(assetAddress(place.key, place.state)).toBe('/n/dataset:w/T');
});

test.each(['/n/', '/n/%', '/elsewhere'])('%s is no place', (path) => {
  expect(placeOf(path, '')).toEqual({ page: 'nowhere' });
});
