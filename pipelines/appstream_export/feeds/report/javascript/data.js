// Decodes the blocks that blocks.py encodes: JSON, compressed, in base64. Nothing is requested.
export async function readBlock(id) {
  const text = document.getElementById(`data-${id}`).textContent.trim();
  const stream = new Blob([decodeBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

export const hasBlock = (id) => document.getElementById(`data-${id}`) !== null;

// Columns as arrays: texts, numbers, seconds or days since 1970; null where nothing is known.
export async function readTable(id) {
  const { rows, columns } = await readBlock(id);
  const decoded = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, decodeColumn(column)]));
  return { rows, ...decoded };
}

function decodeColumn(column) {
  if (Array.isArray(column)) return column;
  if (column.texts) return column.places.map((place) => (place === null ? null : column.texts[place]));
  let sum = 0;
  return column.steps.map((step) => (sum += step));
}

function decodeBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
  return bytes;
}
