// Promises Cedar's values and its equality over them, which never fails. Trusts nothing. Specified by the Cedar language reference (values, `==`, sets).
import type { IpRange } from "./cedar-ip.ts";

export interface EntityRef {
  readonly type: string;
  readonly id: string;
}

/** A whole number within 64 bits: a number where JavaScript holds it exactly, a bigint elsewhere and only there. */
export type Long = number | bigint;

/** A list is a set: order and doubles mean nothing. */
export type CedarValue =
  | boolean
  | Long
  | string
  | readonly CedarValue[]
  | CedarEntity
  | CedarIp
  | CedarDecimal
  | CedarRecord;
export type CedarRecord = { readonly [name: string]: CedarValue };

export class CedarEntity implements EntityRef {
  readonly type: string;
  readonly id: string;
  constructor({ type, id }: EntityRef) {
    this.type = type;
    this.id = id;
  }
}

export class CedarIp {
  readonly range: IpRange;
  constructor(range: IpRange) {
    this.range = range;
  }
}

export class CedarDecimal {
  /** Ten thousandths. */
  readonly units: bigint;
  constructor(units: bigint) {
    this.units = units;
  }
}

export function isSet(value: CedarValue): value is readonly CedarValue[] {
  return Array.isArray(value);
}

export function isRecord(value: CedarValue): value is CedarRecord {
  return (
    typeof value === "object" &&
    !Array.isArray(value) &&
    !(value instanceof CedarEntity) &&
    !(value instanceof CedarIp) &&
    !(value instanceof CedarDecimal)
  );
}

export function isSameEntity(one: EntityRef, other: EntityRef): boolean {
  return one.type === other.type && one.id === other.id;
}

/** Values of two types differ; there is no error. */
export function isSame(one: CedarValue, other: CedarValue): boolean {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object") return false;
  if (isSet(one)) return isSet(other) && includesAll(one, other) && includesAll(other, one);
  if (one instanceof CedarEntity) return other instanceof CedarEntity && isSameEntity(one, other);
  if (one instanceof CedarIp) return other instanceof CedarIp && isSameRange(one.range, other.range);
  if (one instanceof CedarDecimal) return other instanceof CedarDecimal && one.units === other.units;
  return isRecord(other) && isSameRecord(one as CedarRecord, other); // what is left
}

function isSameRange(one: IpRange, other: IpRange): boolean {
  return one.bits === other.bits && one.address === other.address && one.prefix === other.prefix;
}

function isSameRecord(one: CedarRecord, other: CedarRecord): boolean {
  const names = Object.keys(one);
  if (names.length !== Object.keys(other).length) return false;
  return names.every((name) => {
    const [own, theirs] = [one[name], other[name]];
    return own !== undefined && theirs !== undefined && Object.hasOwn(other, name) && isSame(own, theirs);
  });
}

export function includes(set: readonly CedarValue[], value: CedarValue): boolean {
  if (typeof value !== "object") return set.includes(value);
  return set.some((one) => isSame(one, value));
}

/** Longer lists are looked up by a table: they are other people's. */
const walkedMax = 16;

export function includesAll(set: readonly CedarValue[], wanted: readonly CedarValue[]): boolean {
  if (set.length <= walkedMax || wanted.length <= walkedMax) return wanted.every((value) => includes(set, value));
  const plain = new Set(set);
  return wanted.every((value) => plain.has(value) || (typeof value === "object" && includes(set, value)));
}

export function includesAny(set: readonly CedarValue[], wanted: readonly CedarValue[]): boolean {
  if (set.length <= walkedMax || wanted.length <= walkedMax) return wanted.some((value) => includes(set, value));
  const plain = new Set(set);
  return wanted.some((value) => plain.has(value) || (typeof value === "object" && includes(set, value)));
}

const longMax = 2n ** 63n - 1n;
const longMin = -(2n ** 63n);

/** Null: beyond 64 bits. */
export function longOf(value: bigint): Long | null {
  if (value > longMax || value < longMin) return null;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

export function isLong(value: CedarValue): value is Long {
  return typeof value === "number" || typeof value === "bigint";
}

/** Sum, difference or product; null: beyond 64 bits, which is an error in Cedar. */
export function calculate(operator: "+" | "-" | "*", one: Long, other: Long): Long | null {
  if (typeof one === "number" && typeof other === "number") {
    const exact = operator === "+" ? one + other : operator === "-" ? one - other : one * other;
    // A result that is safe was not rounded, and -0 is 0.
    if (Number.isSafeInteger(exact)) return exact === 0 ? 0 : exact;
  }
  const [left, right] = [BigInt(one), BigInt(other)];
  return longOf(operator === "+" ? left + right : operator === "-" ? left - right : left * right);
}
