// Reads a Mermaid flowchart from standard input with Mermaid itself, and prints what it understood as JSON:
// {nodes: {id: text}, boxes: {id: text}, arrows: [[source, target, stroke]]}. Fails on what Mermaid refuses.
import { JSDOM } from 'jsdom';

const { window } = new JSDOM('');
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import('mermaid');

let text = '';
for await (const piece of process.stdin) text += piece;
mermaid.initialize({ startOnLoad: false });
const diagram = await mermaid.mermaidAPI.getDiagramFromText(text);
// As Mermaid decodes what stands in its texts for `#number;`.
const decoded = (label) =>
  label.replace(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(Number(code))).replace(/ﬂ°(\w+)¶ß/g, '&$1;');
const nodes = [...diagram.db.getVertices().values()].map(({ id, text: label }) => [id, decoded(label)]);
const boxes = diagram.db.getSubGraphs().map(({ id, title }) => [id, decoded(title)]);
const arrows = diagram.db.getEdges().map(({ start, end, stroke }) => [start, end, stroke]);
console.log(JSON.stringify({ nodes: Object.fromEntries(nodes), boxes: Object.fromEntries(boxes), arrows }));
