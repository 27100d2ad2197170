// Promises a named bound for everything a configuration directory can make us read, build or say. Trusts nothing.

/** One YAML file. An estate file is reviewed by people: a larger one is a mistake or an attack. */
export const yamlBytesMax = 256 * 1024;
/** One file that a key names: a schema, a JWKS, a PEM bundle, a Cedar file. */
export const attachmentBytesMax = 1024 * 1024;
/** Entries read from one folder. */
export const entriesMax = 2_000;
/** Keys, items and values in one YAML file. */
export const nodesMax = 50_000;
/** Nesting of maps and lists in one YAML file. */
export const depthMax = 32;
/** Characters in one text value. */
export const textMax = 4_000;
/** Findings of one load; the last one says that more were dropped. */
export const findingsMax = 1_000;
/** Findings of one file that is not YAML: the rest are usually echoes of the first. */
export const syntaxFindingsMax = 5;
/** Characters of an id. */
export const idMax = 63;
/** Environments of one estate. */
export const environmentsMax = 16;
/** Attributes of a system or an operation, limits of an integration, keys of a client, roots of a bundle. */
export const itemsMax = 64;
/** Longest text compared when a near name is suggested. */
export const suggestionMax = 64;
