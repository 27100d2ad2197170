// Promises the one question a fold of a sink asks of control, and its answer. Trusts nothing. Used by make-export-fold.ts and follow/services.ts.

/** Declared names of systems and clients by pseudonym. */
export type ExportNames = ReadonlyMap<string, string>;
export const namesService = "export-names";
