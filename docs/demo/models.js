// The models: ONNX graphs, and item-kNN from the users' lists.

const here = name => new URL(name, import.meta.url).href;

// A file as bytes; `tell` gets the bytes that have arrived
export async function read(name, tell) {
  const answer = await fetch(here(name));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  if (!tell || !answer.body) return new Uint8Array(await answer.arrayBuffer());
  const parts = [],
    reader = answer.body.getReader();
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    tell((size += value.length));
  }
  const all = new Uint8Array(size);
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

// Bytes of a gzip file, which some servers have unpacked already
async function unpack(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export const readJson = async name => JSON.parse(new TextDecoder().decode(await read(name)));

// The k items with the largest scores, the lower index first among equals
export function best(scores, k, hidden) {
  const top = [];
  for (let i = 0; i < scores.length; i++) {
    if (hidden.has(i) || !(scores[i] > -Infinity)) continue;
    if (top.length === k && scores[i] <= scores[top[k - 1]]) continue;
    let j = top.length < k ? top.length : k - 1;
    for (; j > 0 && scores[top[j - 1]] < scores[i]; j--) top[j] = top[j - 1];
    top[j] = i;
  }
  return top;
}

// Item-kNN: the sum of similarities, in the arithmetic of the library
export class ItemKNN {
  constructor(bytes, about, nItems) {
    const at = bytes.buffer,
      U = about.users + 1;
    this.bounds = new Uint32Array(at, 0, U);
    this.floor = new Float32Array(at, 4 * U, nItems);
    this.item = new (nItems < 65536 ? Uint16Array : Uint32Array)(at, 4 * (U + nItems));
    this.n = new Float32Array(nItems);
    for (const i of this.item) this.n[i]++;
    this.n = this.n.map(Math.sqrt);
    this.users = Array.from({ length: nItems }, () => []);
    for (let u = 0; u < about.users; u++)
      for (let r = this.bounds[u]; r < this.bounds[u + 1]; r++) this.users[this.item[r]].push(u);
  }

  scores(picks) {
    const { bounds, floor, item, n } = this,
      sum = new Float32Array(n.length),
      f = Math.fround,
      both = new Float32Array(n.length);
    for (const s of [...new Set(picks)].sort((a, b) => a - b)) {
      both.fill(0);
      for (const u of this.users[s]) for (let r = bounds[u]; r < bounds[u + 1]; r++) both[item[r]]++;
      for (let i = 0; i < n.length; i++) {
        if (!both[i] || i === s) continue;
        const similar = f(both[i] / f(f(n[i] * n[s]) + 10));
        if (similar >= floor[i]) sum[i] += similar;
      }
    }
    return sum;
  }
}

// ONNX graphs of items and rewards
export class Agents {
  // tell: a function of the fraction that has arrived
  static async load(manifest, tell) {
    const files = { wasm: "ort/ort-wasm-simd-threaded.wasm.gz", ddpg: "data/ddpg.onnx", default: "data/default.onnx" };
    const runtime = await readJson("ort/ort.json"),
      arrived = {};
    const total =
      runtime.files["ort-wasm-simd-threaded.wasm.gz"].bytes +
      manifest.files["ddpg.onnx"].bytes +
      manifest.files["default.onnx"].bytes;
    const parts = Object.entries(files).map(async ([name, file]) => [
      name,
      await read(file, n => {
        arrived[name] = n;
        tell(Math.min(1, Object.values(arrived).reduce((a, b) => a + b) / total));
      }),
    ]);
    const [ort, ...got] = await Promise.all([import("./ort/ort.wasm.bundle.min.mjs"), ...parts]);
    const bytes = Object.fromEntries(got),
      agents = new Agents();
    Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: (await unpack(bytes.wasm)).buffer });
    ort.env.logLevel = "error";
    agents.ort = ort;
    agents.manifest = manifest;
    agents.sessions = {};
    for (const name of ["ddpg", "default"])
      agents.sessions[name] = await ort.InferenceSession.create(bytes[name], { executionProviders: ["wasm"] });
    return agents;
  }

  // scores of all items: of the default agent, or of DDPG's snapshots one after the other
  async scores(name, picks) {
    const { ort, manifest } = this,
      T = manifest.frame_size[name],
      last = picks.slice(-T);
    const items = new BigInt64Array(T).fill(-1n),
      rewards = new Float32Array(T);
    last.forEach(({ item, rating }, i) => {
      items[T - last.length + i] = BigInt(item);
      rewards[T - last.length + i] = (rating - manifest.rewards.shift) * manifest.rewards.scale;
    });
    const asked = {
      items: new ort.Tensor("int64", items, [1, T]),
      rewards: new ort.Tensor("float32", rewards, [1, T]),
    };
    return (await this.sessions[name].run(asked)).scores.data;
  }
}
