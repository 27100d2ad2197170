// Promises that what is trusted for its TLS identity is not asked in clear by oversight. Trusts the caller's reason where it is: a mesh that
// encrypts between the machines, for example. Specified in docs/sdk.md, "TLS".

export interface PlainHttpOptions {
  /** Why `http:` to another host is safe here, for example "the mesh encrypts". Without it such a URL is refused. */
  readonly allowHttp?: string;
}

const loopback = /^(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;

/** Is this a URL that anybody on the way could read and answer? Those of this very host are not. */
export function isPlainToOthers(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !loopback.test(hostname);
}

/** Throws TypeError, with the fix, for an `http:` URL of another host unless a reason is given. What is no URL is judged where it is used. */
export function refusePlainHttp(option: string, url: string, { allowHttp }: PlainHttpOptions): void {
  if ((allowHttp ?? "").trim() !== "" || !isPlainToOthers(url)) return;
  throw new TypeError(
    `${option} ${new URL(url).origin} is http: to another host, where anybody on the way can read tokens and answer in its name. ` +
      'Use https:, or say why this is safe: allowHttp: "the mesh encrypts".',
  );
}
