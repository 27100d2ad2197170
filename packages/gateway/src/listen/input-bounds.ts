// Promises how much of what a caller sends is held or thrown away, and for how long, while nobody wants it. Trusts nothing.
// Each has a sentence in docs/gateway.md (listen).

/** Octets behind the request under way; beyond it the connection is read no further until that one is answered. */
export const pipelinedBytesMax = 16 * 1024;
/** Content that nobody wanted and that is still to come when its request was answered: so much is thrown away, more ends the connection. */
export const unwantedBytesMax = 64 * 1024;
/** A keep-alive connection lives so much longer than its caller was told, so that a request sent in the last moment arrives. */
export const keepAliveGraceMs = 1_000;
/** Read on after the last answer: closed at once, it would be reset by what was sent, and the answer with it. */
export const lingerMs = 1_000;
export const lingerBytesMax = 1024 * 1024;
