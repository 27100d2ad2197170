// Promises that a snapshot is exactly what control signed, for this group, newer than any accepted before, and not expired.
// Trusts the snapshot key fixed at joining. Specified in docs/formats/snapshot.md.

export interface SnapshotManifest {
  readonly v: 1;
  readonly tenant: string;
  readonly environment: string;
  readonly region: string;
  readonly group: string;
  /** Raised by a restore; (epoch, version) only goes up. */
  readonly epoch: number;
  readonly version: number;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly minKeySeq: number;
  readonly minRevocationSeq: number;
  /** Object name -> sha-256 (hex) of the blob. Keys in ascending code unit order. */
  readonly objects: Readonly<Record<string, string>>;
}

/** As it travels and lies on disk: the exact manifest bytes (base64url), the key's id and its Ed25519 signature over `sallyport-snapshot/v1\n` + bytes. */
export interface SignedManifest {
  readonly manifest: string;
  readonly kid: string;
  readonly sig: string;
}
