import { type APIRequestContext, expect } from '@playwright/test';

export const COLUMN = 'column:warehouse/lab.assays#flavanoids';
export const ADDRESS = '/n/column:warehouse/lab.assays%23flavanoids';

/** Asks the service by its public API. */
export async function ask<T>(
  request: APIRequestContext,
  query: string,
  variables: Record<string, unknown> = {},
): Promise<T> {
  const answer = await request.post('/graphql', { data: { query, variables } });
  const { data, errors } = await answer.json();
  expect(errors ?? []).toEqual([]);
  return data as T;
}

export interface Alert {
  id: string;
  title: string;
  state: string;
}

/** The alerts, once the demonstration has injected its drift and told its whole story. */
export async function alerts(request: APIRequestContext): Promise<Alert[]> {
  let found: Alert[] = [];
  await expect
    .poll(
      async () => {
        const { alerts } = await ask<{ alerts: { nodes: Alert[] } }>(
          request,
          '{ alerts { nodes { id title state } } }',
        );
        found = alerts.nodes;
        return found.length;
      },
      { timeout: 180_000, message: 'the demonstration raises alerts' },
    )
    .toBeGreaterThan(0);
  return found;
}
