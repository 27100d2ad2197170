// Promises the revocation lists of one trust bundle as a snapshot carries them. Trusts control for what is in them. Specified in docs/formats/snapshot.md.

/** Revocation lists for the client certificates of one bundle; a bundle without takes none back. */
export interface RevocationObject {
  /** DER of complete lists (RFC 5280 §5), base64. */
  readonly lists: readonly string[];
  /** A chain of which an issuer has no list in force proves nobody. */
  readonly required: boolean;
}
