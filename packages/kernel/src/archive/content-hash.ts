// Promises the SHA-256 of an archived object without holding up the event loop. Trusts the runtime's thread pool.

/** 32 bytes. */
export async function contentHash(bytes: Uint8Array): Promise<Buffer> {
  // as: nothing here hands out memory shared between threads.
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
}
