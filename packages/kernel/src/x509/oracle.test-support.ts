// Promises @peculiar/x509 as a second opinion in tests. Trusts it for nothing else: it judges nobody at run time.
// Its dependency tsyringe wants three functions of the reflect-metadata polyfill; a map of maps is all it uses of them.

const metadata = new WeakMap<object, Map<unknown, unknown>>();
const read = (key: unknown, target: object) => metadata.get(target)?.get(key);

Object.assign(Reflect, {
  getMetadata: read,
  getOwnMetadata: read,
  defineMetadata: (key: unknown, value: unknown, target: object) => {
    const entries = metadata.get(target) ?? new Map<unknown, unknown>();
    metadata.set(target, entries.set(key, value));
  },
});

// Imported only now: the library looks for those functions while it loads.
export const oracle = await import("@peculiar/x509");
