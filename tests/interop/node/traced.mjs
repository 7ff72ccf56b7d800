// A process that calls, with OpenTelemetry's own SDK for Node, set up by its environment: `node traced.mjs URL…`
// Every other call is by node:http, the others by fetch. Knows nothing of Headwater.
import { createRequire } from "node:module";
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http";
import { UndiciInstrumentation } from "@opentelemetry/instrumentation-undici";
import { NodeSDK } from "@opentelemetry/sdk-node";

const sdk = new NodeSDK({ instrumentations: [new HttpInstrumentation(), new UndiciInstrumentation()] });
sdk.start();
const http = createRequire(import.meta.url)("node:http"); // what is required after the start is instrumented

const body = JSON.stringify({ inputs: [] });
const headers = { "content-type": "application/json" };

function byHttp(url) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: "POST", headers }, (answer) => {
      answer.resume();
      answer.on("end", resolve);
    });
    request.on("error", reject);
    request.end(body);
  });
}

for (const [place, url] of process.argv.slice(2).entries()) {
  if (place % 2) await byHttp(url);
  else await (await fetch(url, { method: "POST", headers, body })).arrayBuffer();
}
await sdk.shutdown();
