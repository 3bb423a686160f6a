/** A count of bytes that may be unknown, as the contract carries it. */
export function optionalBytes(bytes: number | undefined): bigint | undefined {
  return bytes === undefined ? undefined : BigInt(bytes);
}

/** A count of bytes that may be unknown, as the domain counts it; the contract's rules keep it exact. */
export function optionalNumber(bytes: bigint | undefined): number | undefined {
  return bytes === undefined ? undefined : Number(bytes);
}
