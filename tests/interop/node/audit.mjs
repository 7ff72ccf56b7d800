// Checks a running service against the 61 audits of GraphQL over HTTP.
// Usage: node audit.mjs http://localhost:8000
import { auditServer } from 'graphql-http';

const EXPECTED = 61;

const base = process.argv[2];
if (!base) {
  console.error('Usage: node audit.mjs <base URL of the service>');
  process.exit(2);
}

let results;
try {
  results = await auditServer({ url: new URL('/graphql', base).href });
} catch (error) {
  console.error(`The service at ${base} could not be audited: ${error.cause ?? error}`);
  process.exit(1);
}

const passed = results.filter((result) => result.status === 'ok');
console.log(`${passed.length} of ${results.length} audits passed`);
for (const result of results) {
  if (result.status !== 'ok') {
    console.error(`${result.id} ${result.name}\n  ${result.reason}`);
  }
}
if (results.length !== EXPECTED) {
  console.error(`Expected ${EXPECTED} audits, but graphql-http has ${results.length}`);
}
process.exit(passed.length === EXPECTED && results.length === EXPECTED ? 0 : 1);
