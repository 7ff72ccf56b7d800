// Types and documents of the operations in src/api/*.graphql, as src/api/generated.ts.
//   node tools/generate.mjs          writes it
//   node tools/generate.mjs --check  fails unless it is as it would be written
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { codegen } from '@graphql-codegen/core';
import * as documentNodes from '@graphql-codegen/typed-document-node';
import * as operationTypes from '@graphql-codegen/typescript-operations';
import { buildSchema, parse, validate } from 'graphql';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const output = path('../src/api/generated.ts');
const schemaFile = path('../../app/graphql/schema.graphql');

const schema = buildSchema(readFileSync(schemaFile, 'utf8'));
const documents = readdirSync(path('../src/api'))
  .filter((name) => name.endsWith('.graphql'))
  .sort()
  .map((name) => ({
    location: name,
    document: parse(readFileSync(path(`../src/api/${name}`), 'utf8')),
  }));
const whole = parse(documents.map(({ document }) => document.loc?.source.body ?? '').join('\n'));
const faults = validate(schema, whole);
if (faults.length > 0) {
  console.error(faults.map(String).join('\n\n'));
  process.exit(1);
}

const body = await codegen({
  filename: output,
  schema: parse(readFileSync(schemaFile, 'utf8')),
  schemaAst: schema,
  documents,
  config: {
    scalars: { DateTime: 'string', Date: 'string', JSON: 'unknown' },
    enumsAsTypes: true,
    useTypeImports: true,
    avoidOptionals: { field: true },
    skipTypename: true,
    nonOptionalTypename: false,
    dedupeFragments: true,
    mergeFragmentTypes: true,
    optimizeDocumentNode: true,
  },
  plugins: [{ operationTypes: {} }, { documentNodes: {} }],
  pluginMap: { operationTypes, documentNodes },
});
const generated = `// Written by tools/generate.mjs from the schema and src/api/*.graphql; do not edit.\n${body}`;

if (!process.argv.includes('--check')) {
  writeFileSync(output, generated);
} else if (readFileSync(output, 'utf8') !== generated) {
  console.error('src/api/generated.ts is not current: run `npm run generate`.');
  process.exit(1);
}
