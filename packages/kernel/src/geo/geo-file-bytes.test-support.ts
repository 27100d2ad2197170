// Promises the bytes of a small MaxMind DB, for tests: real files are large and licensed. Trusts its caller's networks not to overlap.
// Format: MaxMind DB file format 2.0 (search tree of 24-bit records, data section, metadata).

export interface TestNetwork {
  /** `127.0.0.1/32`, IPv4 in a tree of `version` 4 or 6. */
  readonly network: string;
  readonly record: unknown;
}

type Node = [left: Node | number | null, right: Node | number | null];

const kinds = { text: 2, double: 3, uint16: 5, uint32: 6, map: 7, array: 11, boolean: 14 } as const;

function control(kind: number, size: number): Buffer {
  const [low, more] = size < 29 ? [size, []] : [29, [size - 29]];
  return Buffer.from(kind > 7 ? [low, kind - 7, ...more] : [(kind << 5) | low, ...more]);
}

function encode(value: unknown): Buffer {
  if (typeof value === "string")
    return Buffer.concat([control(kinds.text, Buffer.byteLength(value)), Buffer.from(value)]);
  if (typeof value === "boolean") return control(kinds.boolean, value ? 1 : 0);
  if (Array.isArray(value)) return Buffer.concat([control(kinds.array, value.length), ...value.map(encode)]);
  if (typeof value === "number") {
    const double = Buffer.alloc(8);
    double.writeDoubleBE(value);
    return Buffer.concat([control(kinds.double, 8), double]);
  }
  if (value instanceof Unsigned) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value.value);
    return Buffer.concat([control(kinds.uint32, 4), bytes]);
  }
  const entries = Object.entries(value ?? {});
  return Buffer.concat([
    control(kinds.map, entries.length),
    ...entries.flatMap(([key, one]) => [encode(key), encode(one)]),
  ]);
}

class Unsigned {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export function geoFileBytes(networks: readonly TestNetwork[], version: 4 | 6 = 6): Buffer {
  const data: Buffer[] = [];
  let dataLength = 0;
  const root: Node = [null, null];
  for (const { network, record } of networks) {
    const [address = "", length = ""] = network.split("/");
    const bits = address
      .split(".")
      .map((octet) => Number(octet).toString(2).padStart(8, "0"))
      .join("");
    // IPv4 lies at ::/96 of a tree of IPv6.
    const path = (version === 6 ? "0".repeat(96) : "") + bits.slice(0, Number(length));
    const encoded = encode(record);
    insert(root, path, dataLength);
    data.push(encoded);
    dataLength += encoded.length;
  }
  const nodes: Node[] = [];
  const number = (node: Node): void => {
    nodes.push(node);
    for (const child of node) if (Array.isArray(child)) number(child);
  };
  number(root);
  const tree = Buffer.alloc(nodes.length * 6);
  nodes.forEach((node, at) => {
    node.forEach((child, side) => {
      const value =
        child === null ? nodes.length : typeof child === "number" ? nodes.length + 16 + child : nodes.indexOf(child);
      tree.writeUIntBE(value, at * 6 + side * 3, 3);
    });
  });
  const metadata = {
    node_count: new Unsigned(nodes.length),
    record_size: new Unsigned(24),
    ip_version: new Unsigned(version),
    database_type: "Test-City",
    languages: ["en"],
    binary_format_major_version: new Unsigned(2),
    binary_format_minor_version: new Unsigned(0),
    build_epoch: new Unsigned(1),
    description: { en: "a test" },
  };
  const marker = Buffer.concat([Buffer.from([0xab, 0xcd, 0xef]), Buffer.from("MaxMind.com")]);
  return Buffer.concat([tree, Buffer.alloc(16), ...data, marker, encode(metadata)]);
}

function insert(root: Node, path: string, data: number): void {
  let node = root;
  for (const [at, bit] of [...path].entries()) {
    const side = bit === "1" ? 1 : 0;
    if (at === path.length - 1) {
      node[side] = data;
      return;
    }
    const next = node[side];
    const child: Node = Array.isArray(next) ? next : [null, null];
    node[side] = child;
    node = child;
  }
}
