// Promises the numbers and the nine octets of an HTTP/2 frame. Trusts nothing: it is data. Specified in RFC 9113 §4.1, §6 and §7.

export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const frameFlag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const errorCode = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export const frameHeadBytes = 9;
/** Longest payload: the default of SETTINGS_MAX_FRAME_SIZE, and never another. */
export const payloadBytesMax = 16_384;
/** What a client says first (RFC 9113 §3.4). */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export interface FrameHead {
  readonly type: number;
  readonly flags: number;
  /** 0: the connection. */
  readonly stream: number;
}

/** A whole frame. `payload` is at most 16,384 octets. */
export function frame({ type, flags, stream }: FrameHead, payload: Uint8Array): Buffer {
  const octets = Buffer.allocUnsafe(frameHeadBytes + payload.length);
  octets.writeUIntBE(payload.length, 0, 3);
  octets[3] = type;
  octets[4] = flags;
  octets.writeUInt32BE(stream, 5);
  octets.set(payload, frameHeadBytes);
  return octets;
}
